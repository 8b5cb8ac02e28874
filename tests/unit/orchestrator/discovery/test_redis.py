"""Discovery through a registry that a test scripts, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import pytest
import structlog
from prometheus_client import CollectorRegistry
from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_common.worker_registry.records import Lease, Snapshot
from voiceplane_common.worker_registry.settings import RedisSection
from voiceplane_orchestrator.app import make_discovery
from voiceplane_orchestrator.discovery.redis import LeaseMetrics, RedisDiscovery
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.settings import DiscoverySection, OrchestratorSettings

from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A, B = "10.0.0.5:50051", "10.0.0.6:50051"
LEASE_MS = 2000


class ScriptedRegistry:
    """A Redis with a clock that is far off ours."""

    def __init__(self) -> None:
        self.away = False
        self.messages_are_lost = False
        self.stands_still = asyncio.Event()
        self.stands_still.set()
        self.unreadable: dict[str, str] = {}
        self.ends_s: dict[str, float] = {}
        self.listening = False
        self.looks = 0
        self._changed = asyncio.Event()

    def heartbeat(self, address: str) -> None:
        is_new = address not in self.ends_s
        self.ends_s[address] = asyncio.get_running_loop().time() + LEASE_MS / 1000
        if is_new:
            self._tell()

    def take_out(self, address: str) -> None:
        del self.ends_s[address]
        self._tell()

    @contextlib.asynccontextmanager
    async def connect(self, _: RedisSection) -> AsyncIterator[ScriptedRegistry]:
        self._check()
        yield self

    async def listen(self) -> None:
        self._check()
        self.listening = True

    async def snapshot(self) -> Snapshot:
        self._check()
        self.looks += 1
        await self.stands_still.wait()
        now_s = asyncio.get_running_loop().time()
        leases = {
            address: Lease(
                address=address,
                worker_id=address.replace(".", "").replace(":", "-"),
                lease_ms=LEASE_MS,
                left_ms=round((end_s - now_s) * 1000),
                ends_ms=round(end_s * 1000) + 10**12,
            )
            for address, end_s in self.ends_s.items()
            if end_s > now_s
        }
        return Snapshot(incarnation="one", leases=leases, unreadable=self.unreadable)

    async def wait_changed(self, *, timeout_s: float) -> None:
        assert self.listening
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()
        self._check()

    def _tell(self) -> None:
        if not self.messages_are_lost:
            self._changed.set()

    def _check(self) -> None:
        if self.away:
            raise unavailable("REGISTRY_UNREACHABLE", "it is away")


class Told:
    """What discovery has told, and when."""

    def __init__(self, discovery: RedisDiscovery) -> None:
        self.offers: list[tuple[float, set[str]]] = []
        self._task = asyncio.create_task(self._read(discovery))

    async def _read(self, discovery: RedisDiscovery) -> None:
        async for offers in discovery.watch():
            assert all(offers.values())
            self.offers.append((asyncio.get_running_loop().time(), set(offers)))

    @property
    def last(self) -> set[str]:
        return self.offers[-1][1]


@contextlib.asynccontextmanager
async def discovering() -> AsyncIterator[tuple[ScriptedRegistry, Told, CollectorRegistry]]:
    registry, page = ScriptedRegistry(), CollectorRegistry()
    settings = RedisSection(url="redis://10.0.0.2")
    discovery = RedisDiscovery(settings, metrics=LeaseMetrics(page), connect=registry.connect)
    await discovery.start()
    told = Told(discovery)
    yield registry, told, page
    await discovery.aclose()
    await told._task


async def beat(registry: ScriptedRegistry, *addresses: str, seconds: float) -> None:
    for _ in range(round(seconds * 2)):
        for address in addresses:
            registry.heartbeat(address)
        await asyncio.sleep(0.5)


def test_a_worker_is_offered_at_once_and_gone_with_its_lease() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, page):
            await beat(registry, A, seconds=5)
            assert told.offers[0] == (0.0, {A})
            last_s = asyncio.get_running_loop().time() - 0.5
            await asyncio.sleep(5)
            assert told.last == set()
            assert 2.0 <= told.offers[-1][0] - last_s <= 2.2, "within the lease and a moment, whatever the resync"
            assert page.get_sample_value("voiceplane_orchestrator_lease_changes_total", {"kind": "expired"}) == 1
            assert page.get_sample_value("voiceplane_orchestrator_leases") == 0

    virtual_time.run(story())


def test_a_message_that_is_missed_is_made_up_for() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, _):
            await beat(registry, A, seconds=2)
            registry.messages_are_lost = True
            await beat(registry, A, B, seconds=1.5)
            assert told.last == {A, B}

    virtual_time.run(story())


def test_a_worker_that_leaves_is_gone_at_once() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, page):
            await beat(registry, A, B, seconds=2)
            registry.take_out(A)
            left_s = asyncio.get_running_loop().time()
            await asyncio.sleep(0.3)
            assert told.last == {B}
            assert told.offers[-1][0] - left_s < 0.1
            assert page.get_sample_value("voiceplane_orchestrator_lease_changes_total", {"kind": "left"}) == 1

    virtual_time.run(story())


def test_while_redis_is_away_the_last_set_stays_and_it_is_said_once() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, page):
            await beat(registry, A, B, seconds=2)
            with structlog.testing.capture_logs() as logs:
                registry.away = True
                await asyncio.sleep(60)
                assert page.get_sample_value("voiceplane_orchestrator_registry_connected") == 0
                registry.away = False
                registry.ends_s.clear()  # its memory is lost
                await asyncio.sleep(0.6)
                await beat(registry, A, B, seconds=10)
            assert len(told.offers) == 1, "no one went, and no one came"
            assert page.get_sample_value("voiceplane_orchestrator_registry_connected") == 1
            assert [line["event"] for line in logs] == ["registry_lost", "registry_back"]

    virtual_time.run(story())


def test_after_redis_stood_still_workers_have_the_time_to_be_heard_of() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, page):
            await beat(registry, A, seconds=2)
            registry.stands_still.clear()
            await asyncio.sleep(2.5)
            registry.stands_still.set()
            await asyncio.sleep(0.4)  # the heartbeat comes a little after our look
            await beat(registry, A, seconds=5)
            assert [offers for _, offers in told.offers] == [{A}]
            assert page.get_sample_value("voiceplane_orchestrator_lease_changes_total", {"kind": "expired"}) is None
            await asyncio.sleep(4)
            assert told.last == set()

    virtual_time.run(story())


def test_a_burst_of_changes_costs_few_looks() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, _):
            await asyncio.sleep(1)
            before = registry.looks
            for number in range(100):
                registry.heartbeat(f"10.0.1.{number}:50051")
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            assert len(told.last) == 100
            assert registry.looks - before < 10

    virtual_time.run(story())


def test_a_record_that_cannot_be_read_is_reported_once_and_counted() -> None:
    async def story() -> None:
        async with discovering() as (registry, told, page):
            with structlog.testing.capture_logs() as logs:
                registry.unreadable = {"someone": "Invalid JSON"}
                await beat(registry, A, seconds=5)
            assert told.last == {A}
            assert [line["event"] for line in logs].count("record_unreadable") == 1
            assert page.get_sample_value("voiceplane_orchestrator_unreadable_records") == 1

    virtual_time.run(story())


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "voiceplane_common.worker_registry.registry", None)
    monkeypatch.delitem(sys.modules, "voiceplane_orchestrator.discovery.redis")
    settings = OrchestratorSettings(
        discovery=DiscoverySection(kind="redis"), redis=RedisSection(url="redis://10.0.0.2")
    )
    with pytest.raises(VoiceplaneError, match=r"voiceplane-orchestrator\[redis\]") as failure:
        make_discovery(settings, Metrics())
    assert failure.value.field == "discovery.kind"
