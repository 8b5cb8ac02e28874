"""Workers that have registered in a Redis: told of by a channel, and looked for again and again."""

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
        f"discovery.kind redis needs the extra voiceplane-orchestrator[redis]: {error}",
        field="discovery.kind",
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from voiceplane_common.worker_registry.records import Snapshot
    from voiceplane_common.worker_registry.settings import RedisSection

# A message that was missed is made up for within this.
RESYNC_INTERVAL_S = 1.0
# An end is looked for this much after it, so that Redis has seen it, too.
EXPIRY_CHECK_DELAY_S = 0.02
# Many workers that come at once are looked at together.
DEBOUNCE_S = 0.02
RECONNECT_INTERVAL_S = 0.3
# An answer that took so long says that Redis stood still, and that heartbeats could not be taken either.
SLOW_SNAPSHOT_S = 0.5

_log = get_logger("discovery")


class RegistryReader(Protocol):
    """What discovery needs of a WorkerRegistry."""

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
    """What discovery counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leases = Gauge("voiceplane_orchestrator_leases", "Workers whose lease holds.", registry=registry)
        self.connected = Gauge(
            "voiceplane_orchestrator_registry_connected", "1 while the Redis of the workers answers.", registry=registry
        )
        self.changes = Counter(
            "voiceplane_orchestrator_lease_changes", "Leases that began or ended.", ["kind"], registry=registry
        )
        self.unreadable = Gauge(
            "voiceplane_orchestrator_unreadable_records",
            "Records in the Redis that are no worker's.",
            registry=registry,
        )


class RedisDiscovery:
    """Watches the leases of a Redis. While it is out of reach, the workers known last stay."""

    def __init__(
        self,
        settings: RedisSection,
        *,
        metrics: LeaseMetrics,
        connect: Callable[[RedisSection], AbstractAsyncContextManager[RegistryReader]] = WorkerRegistry.connect,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            settings: The Redis.
            metrics: Kept in step.
            connect: Gives a connection to the registry.
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
        """See Discovery; a Redis that does not answer yet is waited for."""
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
        """See Discovery; nobody starts a worker."""
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
                    await registry.listen()  # before the first look: nothing falls between the two
                    await self._poll_leases(registry)
            except VoiceplaneError as error:
                self._log_outage(error)
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _poll_leases(self, registry: RegistryReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked_s = loop.time()
            snapshot = await registry.snapshot()
            if loop.time() - asked_s > SLOW_SNAPSHOT_S:
                self._leases.unreachable()
            self._apply(snapshot, loop.time())
            await asyncio.sleep(DEBOUNCE_S)
            end_s = self._leases.next_expiry_s
            until_end_s = RESYNC_INTERVAL_S if end_s is None else end_s + EXPIRY_CHECK_DELAY_S - loop.time()
            await registry.wait_changed(timeout_s=max(0.0, min(RESYNC_INTERVAL_S, until_end_s)))

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
            if self._unreadable.get(address) != problem:  # once, and not at each look
                _log.warning("record_unreadable", address=address[:80], problem=problem)
        self._unreadable = unreadable
        self._metrics.unreadable.set(len(unreadable))

    def _log_outage(self, error: VoiceplaneError) -> None:
        if error.reason != self._outage:
            _log.warning("registry_lost", reason=error.reason, message=error.message, workers=len(self._leases))
        self._outage = error.reason
        self._metrics.connected.set(0)
        self._leases.unreachable()
