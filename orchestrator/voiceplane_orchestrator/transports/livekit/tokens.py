"""Who may enter which room: short-lived grants, which also ask LiveKit for an agent.

Format: https://docs.livekit.io/home/get-started/authentication/, a JSON Web Token signed with the API secret.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from livekit import api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_orchestrator.settings import LiveKitSection

# The names of participant attributes by which a client chooses what speaks, such as voiceplane.model.
ATTRIBUTE_PREFIX = "voiceplane."
# A room without anybody is gone after this, so that a client that comes back finds it, and an agent in it.
EMPTY_TIMEOUT_S = 60
ROOM_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a client needs to enter a room.

    Attributes:
        url: Of the LiveKit server, as the client reaches it.
        token: A JSON Web Token; good for entering until it expires, and for staying as long as one likes.
        expires_in_ms: From now.
    """

    url: str
    token: str
    room: str
    identity: str
    expires_in_ms: int


def new_room() -> str:
    """A room name that nobody can guess."""
    return f"voiceplane-{secrets.token_urlsafe(ROOM_BYTES)}"


def grant(settings: LiveKitSection, *, room: str, identity: str, choices: Mapping[str, str]) -> Grant:
    """Let a person into one room, with an agent of ours.

    Args:
        settings: The server and its keys.
        room: It is made when the first one enters.
        identity: Of the person.
        choices: What they want to be spoken to with, by name: model, voice, language, speed.
    """
    attributes = {ATTRIBUTE_PREFIX + name: value for name, value in choices.items() if value}
    token = (
        api.AccessToken(settings.api_key, settings.api_secret.get_secret_value())
        .with_identity(identity)
        .with_attributes(attributes)
        .with_grants(
            api.VideoGrants(
                room_join=True,
                room=room,
                can_publish=True,
                can_publish_sources=["microphone"],
                can_subscribe=True,
                can_publish_data=True,
                can_update_own_metadata=True,
            )
        )
        .with_room_config(
            api.RoomConfiguration(
                empty_timeout=EMPTY_TIMEOUT_S,
                departure_timeout=EMPTY_TIMEOUT_S,
                agents=[api.RoomAgentDispatch(agent_name=settings.agent_name)],
            )
        )
        .with_ttl(timedelta(milliseconds=settings.token_ttl_ms))
        .to_jwt()
    )
    return Grant(
        url=settings.public_url or settings.url,
        token=token,
        room=room,
        identity=identity,
        expires_in_ms=settings.token_ttl_ms,
    )
