"""The work queue: each key once, never twice at the same time, failures later and later.

Source of the idea: https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from voiceplane_common import tracing
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voiceplane_common.kube.api import Key
    from voiceplane_common.tracing import Span

    from voiceplane_operator.metrics import Metrics

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0

_log = get_logger("queue")


class WorkItem(NamedTuple):
    """What is to be reconciled.

    Attributes:
        kind: "VoiceModel" or "TTSWorkerPool".
    """

    kind: str
    key: Key


class WorkQueue:
    """Runs reconcile(item) for every item that is asked for, at least once after the last time that it was."""

    def __init__(
        self, reconcile: Callable[[WorkItem], Awaitable[None]], *, metrics: Metrics, spacing_s: float = 0.1
    ) -> None:
        """Prepare.

        Args:
            reconcile: Idempotent; an exception makes the item come back later.
            metrics: Counts and times.
            spacing_s: A item that is asked for again and again runs at most once in this time.
        """
        self._reconcile = reconcile
        self._metrics = metrics
        self._spacing_s = spacing_s
        self._waiting: dict[WorkItem, float] = {}  # since when
        self._running: set[WorkItem] = set()
        self._timers: dict[WorkItem, asyncio.TimerHandle] = {}
        self._failures: dict[WorkItem, int] = {}
        self._backing_off: set[WorkItem] = set()
        self._renewed: set[WorkItem] = set()
        self._last_end: dict[WorkItem, float] = {}
        self._some = asyncio.Event()

    def add(self, item: WorkItem) -> None:
        """Ask for a item. One that runs at this moment runs once more; one that has failed comes back no sooner.

        Much of what is seen is a consequence of the item's own work, which must not make a failing item spin.
        """
        if item in self._backing_off:
            return
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self._enqueue_soon(item)

    def add_now(self, item: WorkItem) -> None:
        """Ask for a item whose object a person has changed: what failed before may not fail now, so it runs at once."""
        self._failures.pop(item, None)
        self._backing_off.discard(item)
        if item in self._running:
            self._renewed.add(item)
        self.add(item)

    def add_later(self, item: WorkItem, delay_s: float) -> None:
        """Ask for a item after a while, unless it is asked for sooner."""
        if item in self._waiting or item in self._backing_off:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(item)
        if timer:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[item] = loop.call_at(due, self._fire, item)

    def forget(self, item: WorkItem) -> None:
        """An object has gone: nothing of it is kept."""
        self._failures.pop(item, None)
        self._last_end.pop(item, None)
        self._waiting.pop(item, None)
        self._backing_off.discard(item)
        self._renewed.discard(item)
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self._metrics.queue_depth.set(len(self._waiting))

    async def run(self, *, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    def _fire(self, item: WorkItem) -> None:
        self._timers.pop(item, None)
        self._backing_off.discard(item)
        self._enqueue(item)

    def _enqueue_soon(self, item: WorkItem) -> None:
        loop = asyncio.get_running_loop()
        due = self._last_end.get(item, 0.0) + self._spacing_s
        if item in self._waiting or item in self._running or loop.time() >= due:
            self._enqueue(item)
        else:
            self._timers[item] = loop.call_at(due, self._fire, item)

    def _enqueue(self, item: WorkItem) -> None:
        self._waiting.setdefault(item, asyncio.get_running_loop().time())
        self._metrics.queue_depth.set(len(self._waiting))
        self._some.set()

    def _take(self) -> WorkItem | None:
        for item in self._waiting:
            if item not in self._running:
                waited_s = asyncio.get_running_loop().time() - self._waiting.pop(item)
                self._metrics.queue_wait_seconds.labels(kind=item.kind).observe(waited_s)
                return item
        return None

    async def _work(self) -> None:
        while True:
            item = self._take()
            if item is None:
                self._some.clear()
                await self._some.wait()
                continue
            with tracing.whole("reconcile") as span:
                span.note(kind=item.kind, namespace=item.key.namespace, name=item.key.name)
                await self._run(item, span)

    async def _run(self, item: WorkItem, span: Span) -> None:
        loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set(len(self._waiting))
        self._running.add(item)
        self._renewed.discard(item)
        began = loop.time()
        try:
            await self._reconcile(item)
            self._failures.pop(item, None)
            span.note(result="ok")
        except Exception as error:  # whatever it was, the item comes back
            self._failed(item, error)
            span.note(result="failed")
            span.fail(tracing.reason_of(error))
        finally:
            self._running.discard(item)
            self._last_end[item] = loop.time()
            self._metrics.reconcile_seconds.labels(kind=item.kind).observe(loop.time() - began)
            self._some.set()  # the item may have been asked for again meanwhile
        if (requeue_s := self._comes_back_in_s(item)) is not None:
            span.note(requeue_s=requeue_s)

    def _comes_back_in_s(self, item: WorkItem) -> float | None:
        if item in self._waiting:
            return 0.0
        timer = self._timers.get(item)
        return round(timer.when() - asyncio.get_running_loop().time(), 3) if timer else None

    def _failed(self, item: WorkItem, error: Exception) -> None:
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        delay_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1))
        self._metrics.reconcile_errors.labels(kind=item.kind).inc()
        _log.warning(
            "reconcile_failed", kind=item.kind, name="/".join(item.key), error=repr(error), retry_in_s=round(delay_s, 1)
        )
        if item in self._renewed:  # it failed by what was declared before, and waits to run again
            self._failures.pop(item)
            return
        self._waiting.pop(item, None)
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self.add_later(item, delay_s)
        self._backing_off.add(item)
