"""One ManagedWorker for each pod with an address, as pods are created, changed and deleted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.errors import unavailable
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.workers.fleet import Fleet, address_of, pool_of
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_client import WorkerClient

POOL = Key("speech", "p")
A, B = Key("speech", "p-a"), Key("speech", "p-b")


class FakeClient:
    """A worker that is ready, and reports what a test sets."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False
        self._lost = False
        self._news: asyncio.Queue[tts_pb2.WorkerState | None] = asyncio.Queue()

    def lose(self) -> None:
        """It becomes unreachable."""
        self._news.put_nowait(None)

    def load(self, model_id: str) -> None:
        model = tts_pb2.ModelStatus(model_id=model_id, state=tts_pb2.MODEL_STATE_RESIDENT)
        self._news.put_nowait(tts_pb2.WorkerState(ready=True, models=[model]))

    def renew(self) -> None:
        pass

    async def capabilities(self) -> tts_pb2.GetCapabilitiesResponse:
        if self._lost:
            raise unavailable("UNREACHABLE", "nothing listens")
        return tts_pb2.GetCapabilitiesResponse(families=[tts_pb2.Family(name="mock")])

    async def watch_state(self) -> AsyncIterator[tts_pb2.WorkerState]:
        yield tts_pb2.WorkerState(ready=True)
        while (state := await self._news.get()) is not None:
            yield state
        self._lost = True

    async def close(self) -> None:
        self.closed = True


class Watched:
    """A fleet, its clients, and the changes that it reported."""

    def __init__(self) -> None:
        self.clients: list[FakeClient] = []
        self.reported: list[tuple[Key, frozenset[str] | None]] = []
        self.metrics = Metrics()
        self.fleet = Fleet(
            changed=lambda pool, model_ids: self.reported.append((pool, model_ids)),
            metrics=self.metrics,
            connect=self._connect,
        )

    def _connect(self, address: str) -> WorkerClient:
        self.clients.append(FakeClient(address))
        return cast("WorkerClient", self.clients[-1])

    @property
    def open(self) -> list[str]:
        """The addresses of the clients that are not closed."""
        return [client.address for client in self.clients if not client.closed]

    def counted(self, name: str = "workers") -> float | None:
        return self.metrics.registry.get_sample_value(f"voiceplane_operator_{name}")

    def news(self) -> list[tuple[Key, frozenset[str] | None]]:
        """The changes since the last time."""
        reported = list(self.reported)
        self.reported.clear()
        return reported


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    result = Watched()
    try:
        yield result
    finally:
        await result.fleet.close()


async def settled() -> None:
    await asyncio.sleep(1.0)


def pod(ip: str | None = "10.0.0.1", *, pool: str | None = "p", phase: str = "Running") -> dict[str, Any]:
    labels = {} if pool is None else {"voiceplane.dev/pool": pool}
    return {"metadata": {"labels": labels}, "status": {"phase": phase} | ({"podIP": ip} if ip else {})}


@pytest.mark.parametrize(
    ("made", "address"),
    [
        (pod("10.0.0.1"), "10.0.0.1:50051"),
        (pod("fd00::1"), "[fd00::1]:50051"),
        (pod("10.0.0.1", phase="Pending"), "10.0.0.1:50051"),
        (pod(None), None),
        (pod(""), None),
        (pod(phase="Succeeded"), None),
        (pod(phase="Failed"), None),
    ],
)
def test_the_address_of_a_pods_worker(made: dict[str, Any], address: str | None) -> None:
    assert address_of(made) == address


def test_a_pod_belongs_to_the_pool_of_its_label_in_its_namespace() -> None:
    assert pool_of(pod(), Key("other", "p-a")) == Key("other", "p")
    assert pool_of(pod(pool=None), A) == Key("speech", "")


def test_a_pod_is_connected_once_when_it_has_an_address() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod(None, phase="Pending"))
            await settled()
            assert seen.open == []
            assert seen.fleet.workers_of(POOL) == {}
            assert seen.fleet.pods_of(POOL).keys() == {"p-a"}
            for _ in range(3):
                seen.fleet.pod_changed(A, pod())
                await settled()
            assert seen.open == ["10.0.0.1:50051"]
            assert len(seen.clients) == 1
            (worker,) = seen.fleet.workers_of(POOL).values()
            assert (worker.name, worker.address, worker.usable) == ("p-a", "10.0.0.1:50051", True)
            assert seen.counted() == 1

    virtual_time.run(scenario())


def test_a_pod_with_another_address_is_another_worker() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod("10.0.0.1"))
            await settled()
            seen.fleet.pod_changed(A, pod("10.0.0.2"))
            await settled()
            assert [client.address for client in seen.clients] == ["10.0.0.1:50051", "10.0.0.2:50051"]
            assert seen.open == ["10.0.0.2:50051"]
            assert seen.counted() == 1

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("after", "pods"),
    [(None, set()), (pod(phase="Succeeded"), set()), (pod(phase="Failed"), set()), (pod(None), {"p-a"})],
    ids=["deleted", "succeeded", "failed", "without an address"],
)
def test_a_pod_without_a_reachable_worker_is_disconnected(after: dict[str, Any] | None, pods: set[str]) -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod())
            seen.fleet.pod_changed(B, pod("10.0.0.2"))
            await settled()
            seen.fleet.pod_changed(A, after)
            await settled()
            assert seen.open == ["10.0.0.2:50051"]
            assert seen.fleet.workers_of(POOL).keys() == {"p-b"}
            assert seen.fleet.pods_of(POOL).keys() == {"p-b"} | pods
            assert seen.counted() == 1

    virtual_time.run(scenario())


def test_the_deletion_of_an_unknown_pod_is_no_change() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, None)
            assert seen.news() == []
            assert seen.fleet.pods == {}

    virtual_time.run(scenario())


def test_every_change_of_a_pod_is_a_change_of_its_pool() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod(None))
            assert seen.news() == [(POOL, None)]
            seen.fleet.pod_changed(A, pod(None, pool="q"))
            assert seen.news() == [(POOL, None), (Key("speech", "q"), None)]
            seen.fleet.pod_changed(A, None)
            assert seen.news() == [(Key("speech", "q"), None)]

    virtual_time.run(scenario())


def test_a_workers_report_names_the_changed_models() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod())
            seen.news()
            await settled()
            assert seen.news() == [(POOL, None)]
            seen.clients[0].load("joe")
            await settled()
            assert seen.news() == [(POOL, frozenset({"joe"}))]

    virtual_time.run(scenario())


def test_a_pod_with_another_pools_label_belongs_to_that_pool() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod())
            await settled()
            seen.fleet.pod_changed(A, pod(pool="q"))
            await settled()
            assert seen.open == ["10.0.0.1:50051"]
            seen.news()
            seen.clients[0].load("joe")
            await settled()
            assert seen.news() == [(Key("speech", "q"), frozenset({"joe"}))]
            assert seen.fleet.workers_of(POOL) == {}
            assert seen.fleet.workers_of(Key("speech", "q")).keys() == {"p-a"}

    virtual_time.run(scenario())


def test_a_report_of_a_disconnected_worker_is_ignored() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod())
            await settled()
            seen.news()
            seen.fleet.workers_of(POOL)["p-a"]._changed(None)
            assert seen.news() == [(POOL, None)]
            late = seen.fleet.workers_of(POOL)["p-a"]._changed
            seen.fleet.pod_changed(A, None)
            seen.news()
            late(None)
            assert seen.news() == []

    virtual_time.run(scenario())


def test_pools_and_namespaces_are_separate() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(B, pod("10.0.0.2"))
            seen.fleet.pod_changed(A, pod("10.0.0.1"))
            seen.fleet.pod_changed(Key("other", "p-a"), pod("10.0.0.3"))
            seen.fleet.pod_changed(Key("speech", "q-a"), pod("10.0.0.4", pool="q"))
            await settled()
            assert list(seen.fleet.pods_of(POOL)) == ["p-a", "p-b"]
            assert list(seen.fleet.workers_of(POOL)) == ["p-a", "p-b"]
            (worker,) = seen.fleet.workers_of(Key("other", "p")).values()
            assert worker.address == "10.0.0.3:50051"
            assert seen.counted() == 4

    virtual_time.run(scenario())


def test_close_disconnects_all_workers() -> None:
    async def scenario() -> None:
        seen = Watched()
        seen.fleet.pod_changed(A, pod())
        seen.fleet.pod_changed(B, pod("10.0.0.2"))
        await settled()
        seen.fleet.pod_changed(A, None)
        await seen.fleet.close()
        assert len(seen.clients) == 2
        assert seen.open == []
        assert seen.fleet.workers_of(POOL) == {}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(scenario())


def test_a_worker_is_reachable_while_it_answers() -> None:
    async def scenario() -> None:
        async with watched() as seen:
            seen.fleet.pod_changed(A, pod())
            seen.fleet.pod_changed(B, pod("10.0.0.2"))
            assert (seen.counted(), seen.counted("workers_reachable")) == (2, 0), "none has reported yet"
            await settled()
            assert (seen.counted(), seen.counted("workers_reachable")) == (2, 2)
            seen.clients[0].lose()
            await settled()
            assert (seen.counted(), seen.counted("workers_reachable")) == (2, 1)

    virtual_time.run(scenario())
