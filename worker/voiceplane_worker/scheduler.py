"""Schedules inference steps on the device, earliest deadline first (EDF).

A step is one call into a model: the samples of one chunk. Every waiting step has a deadline: the moment at which its
listener would hear a gap, or for a first chunk, its arrival. The step with the earliest deadline runs first. So a
stream that has audio buffered never delays the first audio of another one, and no stream starves.

A running step can't be interrupted. So background steps, those of files, leave one thread free while there are realtime
streams: their next step then does not wait for a long one of a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from voiceplane_worker.thread_priority import lower_thread_priority

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Weight of the latest step in the moving average of its kind's duration.
LATEST_WEIGHT = 0.2
# A thread is kept free from background steps for this long after a realtime step. A realtime stream computes at least
# this often, since the audio ahead of it is bounded.
RESERVE_S = 3.0


class DeadlineScheduler:
    """Compute threads that run the step with the earliest deadline first."""

    def __init__(self, *, workers: int, name: str = "compute") -> None:
        """Start the threads.

        Args:
            workers: Steps that run at the same time.
            name: Prefix of the threads' names.
        """
        self._waiting: list[tuple[float, int, _Step]] = []
        self._background: list[tuple[float, int, _Step]] = []
        self._background_running = 0
        self._reserved_until = float("-inf")
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running: list[str] = []
        self._mean_s: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True) for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queue_depth(self) -> int:
        """Steps that wait or run."""
        return len(self._waiting) + len(self._background) + len(self._running)

    def expected_s(self, kind: str, *, deadline: float) -> float:
        """Expected seconds until the end of a step that is queued now; 0 before the first step of its kind.

        Args:
            kind: As in run().
            deadline: Steps with an earlier one go first.
        """
        with self._changed:
            queued = itertools.chain(self._waiting, self._background)
            waiting = sum(self._mean_s.get(entry.kind, 0.0) for due, _, entry in queued if due <= deadline)
            running = sum(self._mean_s.get(kind, 0.0) for kind in self._running)
        # On average, a running step is half done.
        return (waiting + running / 2) / len(self._threads) + self._mean_s.get(kind, 0.0)

    async def run(self, step: Callable[[], T], *, deadline: float, kind: str = "", background: bool = False) -> T:
        """Run a step on a compute thread and return what it returns.

        Cancelling the caller removes a waiting step. A running step can't be interrupted: its result is dropped, and
        the cancellation is delivered when the step has ended, so that the thread is free when this method raises.

        Args:
            step: A blocking function.
            deadline: Monotonic seconds; the earliest runs first.
            kind: Steps of one kind take about the same time; see expected_s.
            background: It belongs to no realtime stream.
        """
        loop = asyncio.get_running_loop()
        entry = _Step(step, kind, loop, loop.create_future(), background=background)
        queue = self._background if background else self._waiting
        with self._changed:
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            heapq.heappush(queue, (deadline, next(self._order), entry))
            self._changed.notify_all()  # one thread may have to leave it to another
        try:
            await asyncio.wait([entry.future])
        except asyncio.CancelledError:
            if not entry.withdraw():
                await _finish(entry.future)
            raise
        result: T = entry.future.result()
        return result

    def close(self) -> None:
        """Stop after the running steps; waiting ones are cancelled."""
        with self._changed:
            self._closed = True
            for _, _, entry in itertools.chain(self._waiting, self._background):
                if entry.withdraw():
                    entry.resolve(None, asyncio.CancelledError())
            self._waiting.clear()
            self._background.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        lower_thread_priority()
        while (entry := self._next()) is not None:
            began = time.monotonic()
            outcome = entry.run()
            took = time.monotonic() - began
            with self._changed:  # before the caller resumes, who may read the statistics at once
                self._running.remove(entry.kind)
                self._background_running -= entry.background
                if not entry.background:
                    self._reserved_until = time.monotonic() + RESERVE_S
                mean = self._mean_s.get(entry.kind, took)
                self._mean_s[entry.kind] = mean + LATEST_WEIGHT * (took - mean)
            entry.resolve(*outcome)

    def _next(self) -> _Step | None:
        with self._changed:
            while True:
                while queue := self._choose_queue():
                    entry = heapq.heappop(queue)[2]
                    if entry.start():
                        self._running.append(entry.kind)
                        self._background_running += entry.background
                        return entry
                if self._closed:
                    return None
                # A background step that must wait is tried again when a thread is free, or when none is reserved.
                rest_s = self._reserved_until - time.monotonic()
                self._changed.wait(max(0.0, rest_s) if self._background and rest_s > 0 else None)

    def _choose_queue(self) -> list[tuple[float, int, _Step]] | None:
        """The queue with the earliest step that may start now."""
        is_reserved = bool(self._waiting) or time.monotonic() < self._reserved_until
        free = len(self._threads) - is_reserved
        if not self._background or self._background_running >= max(1, free):
            return self._waiting or None
        return self._background if not self._waiting or self._background[0] < self._waiting[0] else self._waiting


class _Step:
    """A queued step: it is either withdrawn by its caller or started by a thread, never both."""

    def __init__(
        self,
        step: Callable[[], Any],
        kind: str,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        *,
        background: bool,
    ) -> None:
        self.background = background
        self.kind = kind
        self.future = future
        self._step = step
        self._loop = loop
        self._taken = threading.Lock()

    def start(self) -> bool:
        return self._taken.acquire(blocking=False)

    withdraw = start

    def run(self) -> tuple[object, BaseException | None]:
        try:
            return self._step(), None
        except BaseException as error:
            return None, error

    def resolve(self, result: object, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and no caller waits
            self._loop.call_soon_threadsafe(self._set, result, error)

    def _set(self, result: object, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


async def _finish(future: asyncio.Future[Any]) -> None:
    """Wait for a running step to end, through further cancellations, and drop its result."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()
