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


class Job(NamedTuple):
    """What is to be reconciled.

    Attributes:
        kind: "VoiceModel" or "TTSWorkerPool".
    """

    kind: str
    key: Key


class WorkQueue:
    """Runs reconcile(job) for every job that is asked for, at least once after the last time that it was."""

    def __init__(
        self, reconcile: Callable[[Job], Awaitable[None]], *, metrics: Metrics, spacing_s: float = 0.1
    ) -> None:
        """Prepare.

        Args:
            reconcile: Idempotent; an exception makes the job come back later.
            metrics: Counts and times.
            spacing_s: A job that is asked for again and again runs at most once in this time.
        """
        self._reconcile = reconcile
        self._metrics = metrics
        self._spacing_s = spacing_s
        self._waiting: dict[Job, float] = {}  # since when
        self._running: set[Job] = set()
        self._timers: dict[Job, asyncio.TimerHandle] = {}
        self._failures: dict[Job, int] = {}
        self._backing_off: set[Job] = set()
        self._renewed: set[Job] = set()
        self._last_end: dict[Job, float] = {}
        self._some = asyncio.Event()

    def add(self, job: Job) -> None:
        """Ask for a job. One that runs at this moment runs once more; one that has failed comes back no sooner.

        Much of what is seen is a consequence of the job's own work, which must not make a failing job spin.
        """
        if job in self._backing_off:
            return
        if timer := self._timers.pop(job, None):
            timer.cancel()
        self._enqueue_soon(job)

    def renew(self, job: Job) -> None:
        """Ask for a job whose object a person has changed: what failed before may not fail now, so it runs at once."""
        self._failures.pop(job, None)
        self._backing_off.discard(job)
        if job in self._running:
            self._renewed.add(job)
        self.add(job)

    def add_later(self, job: Job, delay_s: float) -> None:
        """Ask for a job after a while, unless it is asked for sooner."""
        if job in self._waiting or job in self._backing_off:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(job)
        if timer:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[job] = loop.call_at(due, self._fire, job)

    def forget(self, job: Job) -> None:
        """An object has gone: nothing of it is kept."""
        self._failures.pop(job, None)
        self._last_end.pop(job, None)
        self._waiting.pop(job, None)
        self._backing_off.discard(job)
        self._renewed.discard(job)
        if timer := self._timers.pop(job, None):
            timer.cancel()
        self._metrics.queue_depth.set(len(self._waiting))

    async def run(self, *, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    def _fire(self, job: Job) -> None:
        self._timers.pop(job, None)
        self._backing_off.discard(job)
        self._enqueue(job)

    def _enqueue_soon(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        due = self._last_end.get(job, 0.0) + self._spacing_s
        if job in self._waiting or job in self._running or loop.time() >= due:
            self._enqueue(job)
        else:
            self._timers[job] = loop.call_at(due, self._fire, job)

    def _enqueue(self, job: Job) -> None:
        self._waiting.setdefault(job, asyncio.get_running_loop().time())
        self._metrics.queue_depth.set(len(self._waiting))
        self._some.set()

    def _take(self) -> Job | None:
        for job in self._waiting:
            if job not in self._running:
                waited_s = asyncio.get_running_loop().time() - self._waiting.pop(job)
                self._metrics.queue_wait_seconds.labels(kind=job.kind).observe(waited_s)
                return job
        return None

    async def _work(self) -> None:
        while True:
            job = self._take()
            if job is None:
                self._some.clear()
                await self._some.wait()
                continue
            with tracing.whole("reconcile") as span:
                span.note(kind=job.kind, namespace=job.key.namespace, name=job.key.name)
                await self._run(job, span)

    async def _run(self, job: Job, span: Span) -> None:
        loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set(len(self._waiting))
        self._running.add(job)
        self._renewed.discard(job)
        began = loop.time()
        try:
            await self._reconcile(job)
            self._failures.pop(job, None)
            span.note(result="ok")
        except Exception as error:  # whatever it was, the job comes back
            self._failed(job, error)
            span.note(result="failed")
            span.fail(tracing.reason_of(error))
        finally:
            self._running.discard(job)
            self._last_end[job] = loop.time()
            self._metrics.reconcile_seconds.labels(kind=job.kind).observe(loop.time() - began)
            self._some.set()  # the job may have been asked for again meanwhile
        if (requeue_s := self._comes_back_in_s(job)) is not None:
            span.note(requeue_s=requeue_s)

    def _comes_back_in_s(self, job: Job) -> float | None:
        if job in self._waiting:
            return 0.0
        timer = self._timers.get(job)
        return round(timer.when() - asyncio.get_running_loop().time(), 3) if timer else None

    def _failed(self, job: Job, error: Exception) -> None:
        failures = self._failures[job] = self._failures.get(job, 0) + 1
        delay_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1))
        self._metrics.reconcile_errors.labels(kind=job.kind).inc()
        _log.warning(
            "reconcile_failed", kind=job.kind, name="/".join(job.key), error=repr(error), retry_in_s=round(delay_s, 1)
        )
        if job in self._renewed:  # it failed by what was declared before, and waits to run again
            self._failures.pop(job)
            return
        self._waiting.pop(job, None)
        if timer := self._timers.pop(job, None):
            timer.cancel()
        self.add_later(job, delay_s)
        self._backing_off.add(job)
