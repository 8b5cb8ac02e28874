"""A worker's lease, on a registry and a clock of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_common.settings import load_settings
from voiceplane_common.worker_registry.registry import LeaseClaim
from voiceplane_worker.metrics import Metrics
from voiceplane_worker.registration import Registration
from voiceplane_worker.settings import RegistrationSection, WorkerSettings

from tests.support.clock import VirtualClock, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_common.worker_registry.records import WorkerRecord

ADDRESS = "10.0.0.5:50051"


@dataclass
class FakeRegistry:
    """Leases without an end, and a Redis that may be away."""

    host: str = "10.0.0.2"
    port: int = 6379
    away: bool = False
    hangs: bool = False
    holders: dict[str, str] = field(default_factory=dict)
    heartbeats: int = 0
    connections: int = 0

    @contextlib.asynccontextmanager
    async def connect(self, _: RegistrationSection) -> AsyncIterator[FakeRegistry]:
        self._check()
        self.connections += 1
        yield self

    async def hold(self, address: str, record: WorkerRecord, *, put_out: bool) -> LeaseClaim:
        self._check()
        self.heartbeats += 1
        before = self.holders.get(address, "")
        if before not in {"", record.worker_id} and not put_out:
            return LeaseClaim(ours=False, before=before)
        self.holders[address] = record.worker_id
        return LeaseClaim(ours=True, before=before)

    async def leave(self, address: str, worker_id: str) -> bool:
        if self.hangs:
            await asyncio.Event().wait()
        self._check()
        if self.holders.get(address) != worker_id:
            return False
        del self.holders[address]
        return True

    def _check(self) -> None:
        if self.away:
            raise unavailable("REGISTRY_UNREACHABLE", "it is away")


class Stage:
    """A registry, a clock, and workers' registrations."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.clock = VirtualClock()
        self.registrations: list[Registration] = []

    def worker(self, worker_id: str, *, listen: str = ADDRESS, **settings: Any) -> Metrics:
        async def own_host(_host: str, _port: int) -> str:
            return "10.0.0.5"

        metrics = Metrics()
        registration = Registration(
            settings=RegistrationSection(url="redis://10.0.0.2", **settings),
            worker_id=worker_id,
            listen=listen,
            clock=self.clock,
            metrics=metrics,
            connect=self.registry.connect,
            own_host=own_host,
        )
        registration.start()
        self.registrations.append(registration)
        return metrics


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.registry.away = False
    for registration in stage.registrations:
        await registration.leave()


def registered(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("voiceplane_worker_registered")


def failures(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value("voiceplane_worker_registration_failures_total", {"reason": reason})


async def test_a_worker_registers_at_once_and_sends_heartbeats(stage: Stage) -> None:
    metrics = stage.worker("w1")
    await settle()
    assert stage.registry.holders == {ADDRESS: "w1"}
    assert registered(metrics) == 1
    await stage.clock.advance(5)
    assert stage.registry.heartbeats == 11
    assert stage.registry.connections == 1


async def test_a_worker_that_leaves_is_out_at_once_and_sends_no_heartbeat(stage: Stage) -> None:
    metrics = stage.worker("w1")
    await stage.clock.advance(1.2)
    await stage.registrations[0].leave()
    assert stage.registry.holders == {}
    assert registered(metrics) == 0
    before = stage.registry.heartbeats
    await stage.clock.advance(10)
    assert stage.registry.heartbeats == before


async def test_a_redis_that_is_away_is_tried_at_each_heartbeat_and_told_of_once(stage: Stage) -> None:
    metrics = stage.worker("w1")
    await stage.clock.advance(1)
    with structlog.testing.capture_logs() as logs:
        stage.registry.away = True
        await stage.clock.advance(10)
        assert registered(metrics) == 0
        assert failures(metrics, "REGISTRY_UNREACHABLE") == 20
        stage.registry.away = False
        stage.registry.holders.clear()
        await stage.clock.advance(0.5)
    assert stage.registry.holders == {ADDRESS: "w1"}
    assert registered(metrics) == 1
    assert [line["event"] for line in logs] == ["not_registered", "registered"]


async def test_a_worker_that_starts_while_redis_is_away_registers_later(stage: Stage) -> None:
    stage.registry.away = True
    metrics = stage.worker("w1")
    await stage.clock.advance(3)
    assert registered(metrics) == 0
    stage.registry.away = False
    await stage.clock.advance(0.5)
    assert registered(metrics) == 1


async def test_a_worker_that_restarts_at_its_address_takes_it_over_at_once(stage: Stage) -> None:
    stage.registry.holders[ADDRESS] = "dead"
    with structlog.testing.capture_logs() as logs:
        stage.worker("w2")
        await settle()
    assert stage.registry.holders == {ADDRESS: "w2"}
    assert logs[0]["event"] == "took_over_address"
    assert logs[0]["before"] == "dead"


async def test_of_two_workers_at_one_address_the_newer_one_has_it_and_the_older_one_says_so(stage: Stage) -> None:
    older = stage.worker("older")
    await stage.clock.advance(1)
    with structlog.testing.capture_logs() as logs:
        newer = stage.worker("newer")
        await stage.clock.advance(10)
    assert stage.registry.holders == {ADDRESS: "newer"}
    assert (registered(older), registered(newer)) == (0, 1)
    (said,) = [line for line in logs if line["event"] == "not_registered"]
    assert said["reason"] == "ADDRESS_TAKEN"
    assert "worker newer has registered" in said["message"]
    assert "redis.advertise" in said["message"]
    assert failures(older, "ADDRESS_TAKEN") == 20
    await stage.registrations[1].leave()
    await stage.clock.advance(0.5)
    assert stage.registry.holders == {ADDRESS: "older"}, "it has the address again when the other one has left"
    assert registered(older) == 1


async def test_a_worker_whose_address_was_taken_meanwhile_takes_nothing_back_nor_away(stage: Stage) -> None:
    metrics = stage.worker("asleep")
    await stage.clock.advance(1)
    stage.registry.holders[ADDRESS] = "successor"  # its lease had ended while it was cut off
    await stage.clock.advance(2)
    assert registered(metrics) == 0
    await stage.registrations[0].leave()
    assert stage.registry.holders == {ADDRESS: "successor"}


@pytest.mark.parametrize(
    ("listen", "advertise", "address"),
    [
        ("10.0.0.7:50051", "", "10.0.0.7:50051"),
        ("0.0.0.0:50052", "", "10.0.0.5:50052"),
        ("[::]:50052", "", "10.0.0.5:50052"),
        ("0.0.0.0:50051", "gpu-1.lan:6000", "gpu-1.lan:6000"),
        ("0.0.0.0:50051", "gpu-1.lan:0", "gpu-1.lan:50051"),
        ("0.0.0.0:50051", "[fd00::5]:0", "[fd00::5]:50051"),
    ],
)
async def test_the_address_is_what_others_reach(stage: Stage, listen: str, advertise: str, address: str) -> None:
    stage.worker("w1", listen=listen, advertise=advertise)
    await settle()
    assert stage.registry.holders == {address: "w1"}


async def test_a_redis_that_does_not_answer_does_not_hold_up_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceplane_worker.registration.LEAVE_TIMEOUT_S", 0.01)
    stage.worker("w1")
    await settle()
    stage.registry.hangs = True
    async with asyncio.timeout(5):
        await stage.registrations[0].leave()


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        ({"redis.heartbeat_ms": 700}, "lower heartbeat_ms or raise lease_ms"),
        ({"redis.lease_ms": 100}, "greater than or equal to 500"),
        ({"redis.advertise": "gpu-1"}, "must be host:port"),
        ({"redis.url": "redis://a", "worker.listen": "unix:/run/worker.sock"}, "set worker.listen to host:port"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_remedy(overrides: dict[str, Any], remedy: str) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        load_settings(WorkerSettings, overrides=overrides)
    assert remedy in caught.value.message
