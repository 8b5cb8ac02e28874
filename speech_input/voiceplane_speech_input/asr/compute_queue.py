"""A priority queue of blocking work for a few threads: urgent work first; cancelled work never starts."""

from __future__ import annotations

import asyncio
import heapq
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

from voiceplane_common.errors import exhausted, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


class ComputeQueue(Generic[R]):
    """Runs functions on threads of its own. Confined to one event loop."""

    def __init__(self, *, workers: int, max_waiting: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)
        self._name = name
        self._free = workers
        self._max_waiting = max_waiting
        self._order = count()
        self._waiting: list[tuple[bool, int, Callable[[], R], asyncio.Future[R]]] = []
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many functions wait for a thread."""
        return sum(not future.done() for *_, future in list(self._waiting))

    async def run(self, function: Callable[[], R], *, urgent: bool) -> R:
        """Run a function; returns its result, or raises its exception.

        Args:
            function: Called on one of the threads, unless the caller is cancelled before that.
            urgent: Runs before everything that is not urgent; otherwise first in, first out.

        Raises:
            VoiceplaneError: ASR_OVERLOADED: the queue is full. ASR_CLOSED: it is closed.
        """
        if self._closed:
            raise unavailable("ASR_CLOSED", f"{self._name} has been shut down")
        self._waiting = [job for job in self._waiting if not job[3].done()]
        if len(self._waiting) >= self._max_waiting:
            raise exhausted(
                "ASR_OVERLOADED",
                f"{self._name} is overloaded, {self._max_waiting} requests wait already: try again later",
                retry_after_ms=1000,
            )
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        heapq.heapify(self._waiting)
        heapq.heappush(self._waiting, (not urgent, next(self._order), function, future))
        self._start_next()
        return await future

    async def aclose(self) -> None:
        """Fail waiting work, and wait for running work."""
        self._closed = True
        for *_, future in self._waiting:
            if not future.done():
                future.set_exception(unavailable("ASR_CLOSED", f"{self._name} has been shut down"))
        self._waiting.clear()
        await asyncio.to_thread(self._pool.shutdown)

    def _start_next(self) -> None:
        while self._free and self._waiting:
            _, _, function, future = heapq.heappop(self._waiting)
            if future.done():
                continue
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, function)
            running.add_done_callback(lambda done, future=future: self._finish(done, future))  # type: ignore[misc]  # mypy cannot infer a lambda's default

    def _finish(self, running: asyncio.Future[R], future: asyncio.Future[R]) -> None:
        self._free += 1
        error = running.exception()
        if not future.done():
            if error is None:
                future.set_result(running.result())
            else:
                future.set_exception(error)
        self._start_next()
