"""Publishes the worker's state: WatchState snapshots and gRPC health, both updated on each change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.adapters.devices import read_memory
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.server.proto_conversion import model_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from grpc_health.v1.health import aio as health_aio
    from voiceplane_common.clock import Clock

    from voiceplane_worker.adapters.devices import MemoryReading
    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.residency.model_manager import ModelManager
    from voiceplane_worker.residency.model_status import ModelStatus
    from voiceplane_worker.sessions.load_metrics import LoadMetrics
    from voiceplane_worker.sessions.store import SessionStore

SERVICE = "voiceplane.v1.TTS"

# Minimum interval of snapshots: a burst of changes is one snapshot.
MIN_INTERVAL_S = 0.02

# How often the device's memory is measured, and the change of it that is worth a snapshot of its own.
MEMORY_INTERVAL_S = 2.0
NOTED_SHARE = 0.01


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
        device: str = "cpu",
        read_memory: Callable[[str], MemoryReading | None] = read_memory,
    ) -> None:
        self._worker_id = worker_id
        self._max_sessions = max_sessions
        self._changes = changes
        self._manager = manager
        self._sessions = sessions
        self._load = load
        self._device = device
        self._read_memory = read_memory
        self._device_memory: MemoryReading | None = None

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
            device_memory=self._device_memory_message(),
        )

    def _device_memory_message(self) -> tts_pb2.DeviceMemory | None:
        reading = self._device_memory
        if reading is None:
            return None
        return tts_pb2.DeviceMemory(total_bytes=reading.total_bytes, used_bytes=reading.used_bytes)

    async def watch(self) -> AsyncIterator[tts_pb2.WorkerState]:
        """A snapshot at once, then one after each change."""
        while True:
            state = self.snapshot()
            yield state
            await asyncio.sleep(MIN_INTERVAL_S)
            await self._changes.after(state.revision)

    async def keep_device_memory(self, clock: Clock, metrics: Metrics) -> None:
        """Measure the device's memory again and again; ends at once where it can't be measured."""
        while (reading := await asyncio.to_thread(self._read_memory, self._device)) is not None:
            before, self._device_memory = self._device_memory, reading
            metrics.device_memory_bytes.labels(device=self._device).set(reading.total_bytes)
            metrics.device_memory_used_bytes.labels(device=self._device).set(reading.used_bytes)
            if before is None or abs(reading.used_bytes - before.used_bytes) > reading.total_bytes * NOTED_SHARE:
                self._changes.note()
            await clock.sleep(MEMORY_INTERVAL_S)

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
