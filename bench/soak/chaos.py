"""Carries mishaps out, one after the other, so that no two workers are away at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from voiceplane_common.worker_registry.records import RegistryKeys
from voiceplane_common.worker_registry.settings import RedisSection

from bench.soak.people import get_stuck, why
from bench.soak.stack import CHURN_MODEL
from tests.support.processes import POLL_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.soak.schedule import Mishap
    from bench.soak.stack import Stack
    from tests.support.livekit import LiveKitServer
    from tests.support.redis_server import RedisServer

STUCK_CLIENTS = 2
CHURN_TIMEOUT_S = 60.0
ROOM_TIMEOUT_S = 60.0
REGISTERED_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A mishap that was carried out.

    Attributes:
        mishap: Which.
        trouble: What did not go as it should; empty for nothing.
    """

    mishap: Mishap
    trouble: str


@dataclass(slots=True)
class Chaos:
    """Does what is planned.

    Attributes:
        done: So far.
    """

    stack: Stack
    done: list[Done] = field(default_factory=list)

    async def run(self, mishaps: Sequence[Mishap], *, stopping: asyncio.Event) -> None:
        """Carry out what is planned until told to stop; a mishap that has begun is brought to its end."""
        began_s = time.monotonic()
        for mishap in mishaps:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), max(0.0, began_s + mishap.at_s - time.monotonic()))
            if stopping.is_set():
                return
            try:
                trouble = await self._carry_out(mishap)
            except (OSError, RuntimeError, TimeoutError, aiohttp.ClientError) as error:
                trouble = why(error)
            self.done.append(Done(mishap=mishap, trouble=trouble))

    async def _carry_out(self, mishap: Mishap) -> str:
        match mishap.action:
            case "kill" | "drain":
                worker = self.stack.workers[mishap.target]
                worker.note_death()
                trouble = "" if mishap.action == "kill" else await worker.end()
                await worker.kill()
                await asyncio.sleep(mishap.down_s)
                await worker.start()
                return trouble
            case "stuck":
                server = self.stack.orchestrators[0].address
                ends = await asyncio.gather(*(get_stuck(server) for _ in range(STUCK_CLIENTS)))
                return "; ".join(end for end in ends if end)
            case "livekit":
                return await self._restart_livekit(mishap.down_s)
            case "redis":
                return await self._restart_redis(mishap.down_s)
            case _:
                return await self._churn(mishap.action)

    async def _churn(self, action: str) -> str:
        url = f"{self.stack.orchestrators[0].address}/v1/models/{CHURN_MODEL}/{action}"
        timeout = aiohttp.ClientTimeout(total=CHURN_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.post(url) as response:
            answer = await response.json()
        return "" if response.status == 200 else str(answer["error"]["reason"])

    async def _restart_livekit(self, down_s: float) -> str:
        """Restart the LiveKit server; an agent must come into a room afterwards."""
        # Only here: no one else needs its library.
        from bench.soak.rooms import meet_an_agent  # noqa: PLC0415

        server = self.stack.livekit
        assert server is not None, "mishaps of LiveKit are planned only where there is one"
        await _restart(server, down_s)
        async with asyncio.timeout(ROOM_TIMEOUT_S):
            await meet_an_agent(self.stack.orchestrators[0].address)
        return ""

    async def _restart_redis(self, down_s: float) -> str:
        """Restart the Redis server, empty; every worker must be in it again afterwards."""
        server = self.stack.redis
        assert server is not None, "mishaps of Redis are planned only where there is one"
        await _restart(server, down_s)
        leases = RegistryKeys.below(RedisSection().prefix).leases
        async with asyncio.timeout(REGISTERED_TIMEOUT_S):
            while int(await server.ask("ZCARD", leases)) < len(self.stack.workers):  # noqa: ASYNC110  # Redis' to tell
                await asyncio.sleep(POLL_S)
        return ""


async def _restart(server: LiveKitServer | RedisServer, down_s: float) -> None:
    await server.kill()
    await asyncio.sleep(down_s)
    await server.start()
