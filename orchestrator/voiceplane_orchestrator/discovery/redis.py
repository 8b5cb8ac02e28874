"""Discovery by a Redis in which workers register: notified by a channel, and polled in case a message is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.discovery.leases import LeaseTable

try:
    from voiceplane_common.worker_registry.registry import WorkerRegistry
except ImportError as error:
    raise failed_precondition(
        "EXTRA_MISSING",
        f"discovery.kind redis needs the extra voiceplane-orchestrator[redis], and an import failed: {error}",
        field="discovery.kind",
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from voiceplane_common.worker_registry.records import Snapshot
    from voiceplane_common.worker_registry.settings import RedisSection

# The leases are polled at this interval, which makes up for lost messages.
RESYNC_INTERVAL_S = 1.0
# An expiry is checked after this delay, so that it has passed on Redis' clock, too.
EXPIRY_CHECK_DELAY_S = 0.02
# Changes within this time are processed together.
DEBOUNCE_S = 0.02
RECONNECT_INTERVAL_S = 0.3
# If a snapshot takes this long, Redis stalled, and could not accept heartbeats either.
SLOW_SNAPSHOT_S = 0.5

_log = get_logger("discovery")


class RegistryReader(Protocol):
    """The part of WorkerRegistry that discovery uses."""

    async def listen(self) -> None:
        """See WorkerRegistry."""
        ...

    async def snapshot(self) -> Snapshot:
        """See WorkerRegistry."""
        ...

    async def wait_changed(self, *, timeout_s: float) -> None:
        """See WorkerRegistry."""
        ...


class LeaseMetrics:
    """The metrics of discovery by Redis."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leases = Gauge("voiceplane_orchestrator_leases", "Workers with a valid lease.", registry=registry)
        self.connected = Gauge(
            "voiceplane_orchestrator_registry_connected", "1 while the workers' Redis is reachable.", registry=registry
        )
        self.changes = Counter(
            "voiceplane_orchestrator_lease_changes", "Leases that began or ended.", ["kind"], registry=registry
        )
        self.unreadable = Gauge(
            "voiceplane_orchestrator_unreadable_records",
            "Records in the Redis that are no valid worker record.",
            registry=registry,
        )


class RedisDiscovery:
    """Watches the leases in a Redis. While it is unreachable, the last known workers stay."""

    def __init__(
        self,
        settings: RedisSection,
        *,
        metrics: LeaseMetrics,
        connect: Callable[[RedisSection], AbstractAsyncContextManager[RegistryReader]] = WorkerRegistry.connect,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            settings: How to reach the Redis.
            metrics: Kept up to date.
            connect: Opens a connection to the registry.
        """
        self._settings = settings
        self._metrics = metrics
        self._connect = connect
        self._leases = LeaseTable()
        self._unreadable: dict[str, str] = {}
        self._outage = ""
        self._changed = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See Discovery; waits for a Redis that is not reachable yet."""
        self._task = asyncio.create_task(self._follow())

    async def watch(self) -> AsyncIterator[dict[str, bool]]:
        """See Discovery; for one reader."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._closed:
                return
            yield dict.fromkeys(sorted(self._leases.addresses), True)

    async def demand(self, model_id: str) -> bool:
        """See Discovery; workers are not started on demand."""
        return False

    async def aclose(self) -> None:
        """See Discovery."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._closed = True
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            try:
                async with self._connect(self._settings) as registry:
                    await registry.listen()  # before the first snapshot, so that no change is lost between the two
                    await self._poll_leases(registry)
            except VoiceplaneError as error:
                self._log_outage(error)
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _poll_leases(self, registry: RegistryReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            requested_s = loop.time()
            snapshot = await registry.snapshot()
            if loop.time() - requested_s > SLOW_SNAPSHOT_S:
                self._leases.unreachable()
            self._apply(snapshot, loop.time())
            await asyncio.sleep(DEBOUNCE_S)
            expiry_s = self._leases.next_expiry_s
            until_expiry_s = RESYNC_INTERVAL_S if expiry_s is None else expiry_s + EXPIRY_CHECK_DELAY_S - loop.time()
            await registry.wait_changed(timeout_s=max(0.0, min(RESYNC_INTERVAL_S, until_expiry_s)))

    def _apply(self, snapshot: Snapshot, now_s: float) -> None:
        if self._outage:
            _log.info("registry_back", workers=len(snapshot.leases))
        self._outage = ""
        self._metrics.connected.set(1)
        for change in self._leases.apply(snapshot, now_s):
            log = _log.warning if change.kind == "expired" else _log.info
            log(f"worker_{change.kind}", address=change.address, worker_id=change.worker_id)
            self._metrics.changes.labels(kind=change.kind).inc()
            self._changed.set()
        self._metrics.leases.set(len(self._leases))
        self._log_unreadable(snapshot.unreadable)

    def _log_unreadable(self, unreadable: dict[str, str]) -> None:
        for address, problem in unreadable.items():
            if self._unreadable.get(address) != problem:  # once, and not with each snapshot
                _log.warning("record_unreadable", address=address[:80], problem=problem)
        self._unreadable = unreadable
        self._metrics.unreadable.set(len(unreadable))

    def _log_outage(self, error: VoiceplaneError) -> None:
        if error.reason != self._outage:
            _log.warning("registry_lost", reason=error.reason, message=error.message, workers=len(self._leases))
        self._outage = error.reason
        self._metrics.connected.set(0)
        self._leases.unreachable()
