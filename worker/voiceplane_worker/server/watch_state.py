"""Publishes the worker's state: WatchState snapshots and gRPC health, both updated on each change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.server.proto_conversion import model_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from grpc_health.v1.health import aio as health_aio

    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.residency.model_manager import ModelManager
    from voiceplane_worker.residency.model_status import ModelStatus
    from voiceplane_worker.sessions.load_metrics import LoadMetrics
    from voiceplane_worker.sessions.store import SessionStore

SERVICE = "voiceplane.v1.TTS"

# Minimum interval of snapshots: a burst of changes is one snapshot.
MIN_INTERVAL_S = 0.02


class ChangeCounter:
    """A counter that can be waited on. Confined to the event loop."""

    def __init__(self) -> None:
        self.revision = 1
        self._waiters: set[asyncio.Future[None]] = set()

    def note(self) -> None:
        """Record a change."""
        self.revision += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def after(self, revision: int) -> None:
        """Return when the revision is greater than this one."""
        while self.revision <= revision:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


class StatePublisher:
    """Publishes snapshots of the worker's state."""

    def __init__(
        self,
        *,
        worker_id: str,
        max_sessions: int,
        changes: ChangeCounter,
        manager: ModelManager,
        sessions: SessionStore,
        load: LoadMetrics,
    ) -> None:
        self._worker_id = worker_id
        self._max_sessions = max_sessions
        self._changes = changes
        self._manager = manager
        self._sessions = sessions
        self._load = load

    @property
    def revision(self) -> int:
        """Grows with each change."""
        return self._changes.revision

    @property
    def ready(self) -> bool:
        """Whether the worker accepts sessions."""
        return self._manager.ready and not self._sessions.draining

    def snapshot(self) -> tts_pb2.WorkerState:
        """The state now."""
        return tts_pb2.WorkerState(
            worker_id=self._worker_id,
            revision=self.revision,
            ready=self.ready,
            draining=self._sessions.draining,
            models=[model_status(status) for status in self._manager.statuses()],
            load=tts_pb2.Load(
                sessions=len(self._sessions),
                max_sessions=self._max_sessions,
                queue_depth=self._load.queue_depth,
                first_audio_p50_ms=self._load.first_audio_p50_ms,
                rtf_p50=self._load.rtf_p50,
            ),
        )

    async def watch(self) -> AsyncIterator[tts_pb2.WorkerState]:
        """A snapshot at once, then one after each change."""
        while True:
            state = self.snapshot()
            yield state
            await asyncio.sleep(MIN_INTERVAL_S)
            await self._changes.after(state.revision)

    async def keep_health(self, health: health_aio.HealthServicer, metrics: Metrics) -> None:
        """Update gRPC health: "" and the service by readiness, "model/ID" by residency."""
        known: set[str] = set()
        while True:
            revision = self._changes.revision
            statuses = self._manager.statuses()
            metrics.ready.set(self.ready)
            metrics.resident_models.set(sum(status.state is ModelState.RESIDENT for status in statuses))
            metrics.set_model_memory(
                {status.model_id: status.memory_bytes for status in statuses if status.memory_bytes}
            )
            known |= {f"model/{status.model_id}" for status in statuses}
            for name, serving in self._services(statuses, known):
                response = health_pb2.HealthCheckResponse
                await health.set(name, response.SERVING if serving else response.NOT_SERVING)
            await self._changes.after(revision)

    def _services(self, statuses: Iterable[ModelStatus], known: set[str]) -> Iterable[tuple[str, bool]]:
        resident = {f"model/{status.model_id}" for status in statuses if status.state is ModelState.RESIDENT}
        yield "", self.ready
        yield SERVICE, self.ready
        for name in sorted(known):
            yield name, name in resident and not self._sessions.draining
