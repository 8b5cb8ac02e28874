"""The HTTP endpoints of LiveKit rooms: an access token for a user, and another agent for a room without one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from livekit import api
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common.errors import invalid, unavailable

from voiceplane_orchestrator.transports.livekit.tokens import grant, new_room
from voiceplane_orchestrator.transports.messages import VoiceChoice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voiceplane_orchestrator.settings import LiveKitSection

B = TypeVar("B", bound=BaseModel)

DISPATCH_RETRY_S = 1.0
# LiveKit dispatches no agent to a room that was created before an agent was registered.
REGISTRATION_S = 3.0
ROOM_PATTERN = r"^[A-Za-z0-9_-]{1,128}$"


class GrantRequest(VoiceChoice):
    """The body of POST /v1/livekit/token."""

    client_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    room: str | None = Field(default=None, pattern=ROOM_PATTERN)


class AgentRequest(BaseModel):
    """The body of POST /v1/livekit/agent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    room: str = Field(pattern=ROOM_PATTERN)


class RoomEndpoints:
    """Serves /v1/livekit/token and /v1/livekit/agent."""

    def __init__(
        self,
        settings: LiveKitSection,
        *,
        dispatch_agent: Callable[[str], Awaitable[None]],
        wait_registered: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            settings: The LiveKit server and its keys.
            dispatch_agent: Has LiveKit dispatch an agent to a room.
            wait_registered: Returns when LiveKit has registered our agent.
        """
        self._settings = settings
        self._dispatch_agent = dispatch_agent
        self._wait_registered = wait_registered
        self._dispatched_s: dict[str, float] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/v1/livekit/token", self.token)
        app.router.add_post("/v1/livekit/agent", self.agent)

    async def token(self, request: web.Request) -> web.Response:
        """POST /v1/livekit/token: issue a token for a room, with an agent."""
        wanted = await _read(request, GrantRequest)
        choices = wanted.model_dump(exclude_none=True, exclude={"client_id", "room"})
        if self._settings.serve_rooms:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wait_registered(), REGISTRATION_S)
        granted = grant(
            self._settings,
            room=wanted.room or new_room(),
            identity=wanted.client_id or uuid.uuid4().hex,
            choices={name: str(value) for name, value in choices.items()},
        )
        return web.json_response(dataclasses.asdict(granted), headers={"Cache-Control": "no-store"})

    async def agent(self, request: web.Request) -> web.Response:
        """POST /v1/livekit/agent: dispatch another agent to a room whose agent is silent."""
        wanted = await _read(request, AgentRequest)
        now_s = asyncio.get_running_loop().time()
        self._dispatched_s = {
            room: at_s for room, at_s in self._dispatched_s.items() if now_s - at_s < DISPATCH_RETRY_S
        }
        if wanted.room not in self._dispatched_s:
            self._dispatched_s[wanted.room] = now_s
            try:
                await self._dispatch_agent(wanted.room)
            except (api.TwirpError, TimeoutError, OSError) as error:
                raise unavailable(
                    "LIVEKIT_UNREACHABLE",
                    f"the LiveKit server cannot be reached, or refuses the request: {error}",
                    retry_after_ms=1000,
                ) from None
        return web.json_response({"room": wanted.room}, status=202)


async def _read(request: web.Request, model: type[B]) -> B:
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise invalid(field, f"{field or 'body'}: {problem['msg']}") from None
