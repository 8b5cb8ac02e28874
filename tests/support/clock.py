"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools

# A chain of tasks that wake each other takes one turn of the event loop for each link; longer ones do not occur.
TURNS = 50


class VirtualClock:
    """A voiceplane_common.clock.Clock, starting at 1,000 s."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its time, in order, and letting all that follows from it happen."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._now = max(self._now, due)
            future.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
