"""The work queue: each item once, never twice at the same time, failed items with exponential backoff.

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
MAX_RETRY_S = 60.0

_log = get_logger("queue")


class WorkItem(NamedTuple):
    """An object to reconcile.

    Attributes:
        kind: "VoiceModel" or "TTSWorkerPool".
    """

    kind: str
    key: Key


class WorkQueue:
    """Runs reconcile(item) for each added item, at least once after it was last added."""

    def __init__(
        self, reconcile: Callable[[WorkItem], Awaitable[None]], *, metrics: Metrics, spacing_s: float = 0.1
    ) -> None:
        """Prepare.

        Args:
            reconcile: Idempotent; after an exception the item is requeued with backoff.
            metrics: Counts and times.
            spacing_s: An item that is added again and again runs at most once in this time.
        """
        self._reconcile = reconcile
        self._metrics = metrics
        self._spacing_s = spacing_s
        self._waiting: dict[WorkItem, float] = {}  # since when
        self._running: set[WorkItem] = set()
        self._timers: dict[WorkItem, asyncio.TimerHandle] = {}
        self._failures: dict[WorkItem, int] = {}
        self._backing_off: set[WorkItem] = set()
        self._changed: set[WorkItem] = set()
        self._last_end: dict[WorkItem, float] = {}
        self._added = asyncio.Event()

    def add(self, item: WorkItem) -> None:
        """Add an item. A running item runs once more. An item that failed keeps its backoff.

        Many additions are consequences of the item's own reconcile, and must not make a failing item spin.
        """
        if item in self._backing_off:
            return
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self._enqueue_soon(item)

    def add_now(self, item: WorkItem) -> None:
        """Add an item whose object was changed. It runs at once, without backoff: the failure may be gone."""
        self._failures.pop(item, None)
        self._backing_off.discard(item)
        if item in self._running:
            self._changed.add(item)
        self.add(item)

    def add_later(self, item: WorkItem, delay_s: float) -> None:
        """Add an item after a delay, unless it is added before."""
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
        """Drop an item whose object was deleted."""
        self._failures.pop(item, None)
        self._last_end.pop(item, None)
        self._waiting.pop(item, None)
        self._backing_off.discard(item)
        self._changed.discard(item)
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self._metrics.queue_depth.set(len(self._waiting))

    async def run(self, *, workers: int) -> None:
        """Run reconciles until cancelled.

        Args:
            workers: How many run at the same time.
        """
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
        self._added.set()

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
                self._added.clear()
                await self._added.wait()
                continue
            with tracing.new_trace("reconcile") as span:
                span.note(kind=item.kind, namespace=item.key.namespace, name=item.key.name)
                await self._run(item, span)

    async def _run(self, item: WorkItem, span: Span) -> None:
        loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set(len(self._waiting))
        self._running.add(item)
        self._changed.discard(item)
        began = loop.time()
        try:
            await self._reconcile(item)
            self._failures.pop(item, None)
            span.note(result="ok")
        except Exception as error:  # any error: the item is requeued
            self._failed(item, error)
            span.note(result="failed")
            span.fail(tracing.reason_of(error))
        finally:
            self._running.discard(item)
            self._last_end[item] = loop.time()
            self._metrics.reconcile_seconds.labels(kind=item.kind).observe(loop.time() - began)
            self._added.set()  # the item may have been added again in the meantime
        if (requeue_s := self._requeue_s(item)) is not None:
            span.note(requeue_s=requeue_s)

    def _requeue_s(self, item: WorkItem) -> float | None:
        if item in self._waiting:
            return 0.0
        timer = self._timers.get(item)
        return round(timer.when() - asyncio.get_running_loop().time(), 3) if timer else None

    def _failed(self, item: WorkItem, error: Exception) -> None:
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        delay_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1))
        self._metrics.reconcile_errors.labels(kind=item.kind).inc()
        _log.warning(
            "reconcile_failed", kind=item.kind, name="/".join(item.key), error=repr(error), retry_in_s=round(delay_s, 1)
        )
        if item in self._changed:  # the failure is about the object before its change, and the item is queued already
            self._failures.pop(item)
            return
        self._waiting.pop(item, None)
        if timer := self._timers.pop(item, None):
            timer.cancel()
        self.add_later(item, delay_s)
        self._backing_off.add(item)
