"""The model manager, one promise at a time, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.metrics import Metrics
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec, Residency
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock, settle
from tests.support.models import MODEL_BYTES, FakeCatalog, FakeLoader, FakeModel

if TYPE_CHECKING:
    from voiceplane_worker.residency.model_status import ModelStatus

MODELS = ("default", "b", "c", "d")


class Bench:
    """A manager with its clock and loader."""

    def __init__(self, *, by_itself: bool = True, **limits: Any) -> None:
        self.clock = VirtualClock()
        self.loader = FakeLoader(by_itself=by_itself)
        self.metrics = Metrics()
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="default", **limits),
            catalog=FakeCatalog(MODELS),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=self.clock,
            metrics=self.metrics,
        )

    def status(self, model_id: str) -> ModelStatus:
        return next(status for status in self.manager.statuses() if status.model_id == model_id)

    def ready(self) -> bool:
        return self.manager.ready

    def state(self, model_id: str) -> ModelState:
        return self.status(model_id).state


async def test_the_default_and_the_preloaded_models_are_loaded_before_it_is_ready() -> None:
    bench = Bench(by_itself=False, preload_model_ids=("b",), max_parallel_loads=2)
    starting = asyncio.create_task(bench.manager.start())
    await settle()
    assert [load.model_id for load in bench.loader.pending] == ["default", "b"]
    bench.loader.pending[0].succeed()
    await settle()
    assert not bench.ready()
    bench.loader.pending[0].succeed()
    await starting
    assert bench.ready()
    await bench.manager.close()


async def test_a_fetch_tells_how_far_it_is_and_nothing_once_it_is_over() -> None:
    bench = Bench(by_itself=False)
    bench.loader.fetches = ((21, 63),)
    bench.loader.fetching.clear()
    starting = asyncio.create_task(bench.manager.start())
    await settle()
    told = bench.status("default")
    assert (told.state, told.fetched_bytes, told.fetch_bytes) == (ModelState.FETCHING, 21, 63)
    bench.loader.fetching.set()
    await settle()
    told = bench.status("default")
    assert (told.state, told.fetched_bytes, told.fetch_bytes) == (ModelState.LOADING, 0, 0)
    bench.loader.pending[0].succeed()
    await starting
    await bench.manager.close()


async def test_a_preload_that_fails_is_a_state_and_is_tried_again() -> None:
    bench = Bench(by_itself=False)
    starting = asyncio.create_task(bench.manager.start())
    await settle()
    bench.loader.pending[0].fail()
    await starting
    assert not bench.ready()
    assert bench.state("default") is ModelState.FAILED
    assert bench.status("default").message
    await bench.clock.advance(120.0)
    bench.loader.pending[0].succeed()
    await settle()
    assert bench.ready()
    await bench.manager.close()


async def test_loads_unloads_and_evictions_are_measured_with_their_reasons() -> None:
    bench = Bench(resident_cap=2, min_residency_ms=0, ttl_ms=1000, evict_check_interval_ms=500)
    value = bench.metrics.registry.get_sample_value
    starting = asyncio.create_task(bench.manager.start())
    await settle()
    await starting
    (await bench.manager.acquire("b")).release()
    (await bench.manager.acquire("c")).release()
    await settle()
    evictions = "voiceplane_worker_model_evictions_total"
    assert value(evictions, {"model": "b", "reason": "MakingRoom"}) == 1
    await bench.clock.advance(5.0)
    await settle()
    assert value(evictions, {"model": "c", "reason": "TtlExpired"}) == 1
    await bench.manager.unload("default")
    assert value(evictions, {"model": "default", "reason": "UnloadRequested"}) == 1
    await bench.manager.unload("default")
    assert value(evictions, {"model": "default", "reason": "UnloadRequested"}) == 1, "it was not there"
    for model in ("default", "b", "c"):
        outcome = {"model": model, "outcome": "resident"}
        assert value("voiceplane_worker_model_load_seconds_count", outcome) == 1
        assert value("voiceplane_worker_model_unload_seconds_count", {"model": model}) == 1
    await bench.manager.close()


async def test_sessions_that_want_one_model_share_one_load_and_a_waiter_may_leave() -> None:
    bench = Bench(by_itself=False)
    first, second, third = (asyncio.create_task(bench.manager.acquire("b")) for _ in range(3))
    await settle()
    first.cancel()
    await settle()
    assert bench.status("b").references == 2
    bench.loader.pending[0].succeed()
    leases = await asyncio.gather(second, third)
    assert bench.loader.started == {"b": 1}
    for lease in leases:
        lease.release()
    await bench.manager.close()


async def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    bench = Bench()
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.acquire("unknown")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert "b, c, d, default" in caught.value.message
    await bench.manager.close()


async def test_a_session_that_does_not_wait_starts_the_load() -> None:
    bench = Bench()
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.acquire("b", only_if_resident=True)
    assert caught.value.reason == "MODEL_NOT_RESIDENT"
    await settle()
    assert bench.state("b") is ModelState.RESIDENT
    await bench.manager.close()


async def test_the_ttl_counts_from_the_last_use_and_waits_for_the_minimum_residency() -> None:
    bench = Bench(ttl_ms=10_000, min_residency_ms=60_000, evict_check_interval_ms=1000)
    await bench.manager.start()
    (await bench.manager.acquire("b")).release()
    await bench.clock.advance(59.0)
    assert bench.state("b") is ModelState.RESIDENT, "its minimum residency is not over"
    lease = await bench.manager.acquire("b")
    await bench.clock.advance(300.0)
    assert bench.state("b") is ModelState.RESIDENT, "it is referenced"
    lease.release()
    await bench.clock.advance(9.0)
    assert bench.state("b") is ModelState.RESIDENT
    await bench.clock.advance(2.5)
    assert bench.state("b") is ModelState.ABSENT
    assert bench.state("default") is ModelState.RESIDENT, "the default model has no TTL"
    await bench.manager.close()


async def test_the_least_recently_used_model_makes_room() -> None:
    bench = Bench(resident_cap=3, min_residency_ms=0)
    await bench.manager.start()
    for model_id in ("b", "c", "b"):
        await bench.clock.advance(1.0)
        (await bench.manager.acquire(model_id)).release()
    (await bench.manager.acquire("d")).release()
    assert bench.state("c") is ModelState.ABSENT
    assert bench.state("b") is ModelState.RESIDENT
    await bench.manager.close()


async def test_without_room_the_error_names_who_holds_it() -> None:
    bench = Bench(resident_cap=2, min_residency_ms=0)
    await bench.manager.start()
    lease = await bench.manager.acquire("b")
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.acquire("c")
    assert caught.value.reason == "NO_ROOM"
    assert "b" in caught.value.message
    assert "resident_cap" in caught.value.message
    lease.release()
    (await bench.manager.acquire("c")).release()
    await bench.manager.close()


async def test_the_memory_cap_holds() -> None:
    bench = Bench(resident_cap=4, min_residency_ms=0, memory_cap_bytes=2 * MODEL_BYTES)
    await bench.manager.start()
    (await bench.manager.acquire("b")).release()
    (await bench.manager.acquire("c")).release()
    assert bench.state("b") is ModelState.ABSENT
    assert len(bench.loader.alive) == 2
    await bench.manager.close()


async def test_a_pinned_model_stays_until_it_is_unloaded() -> None:
    bench = Bench(ttl_ms=1000, min_residency_ms=0, evict_check_interval_ms=1000)
    await bench.manager.load(ModelSpec(model_id="b", residency=Residency.PINNED))
    await bench.clock.advance(60.0)
    assert bench.state("b") is ModelState.RESIDENT
    assert (await bench.manager.unload("b")).state is ModelState.ABSENT
    await bench.manager.close()


async def test_a_reload_swaps_the_model_between_utterances() -> None:
    bench = Bench(by_itself=False)
    acquiring = asyncio.create_task(bench.manager.acquire("b"))
    await settle()
    bench.loader.pending[0].succeed()
    lease = await acquiring
    with lease.use() as old:
        reloading = asyncio.create_task(bench.manager.reload("b"))
        load = await bench.loader.next_load()
        with lease.use() as still_old:
            assert still_old is old, "the old one serves until the new one is resident"
        load.succeed()
        await reloading
        with lease.use() as new:
            assert new.generation == old.generation + 1
        assert not bench.loader.closed, "an utterance still speaks with it"
    await settle()
    assert bench.loader.closed == [old.model]
    lease.release()
    await bench.manager.close()


async def test_a_failed_reload_keeps_the_old_model_and_says_so() -> None:
    bench = Bench(by_itself=False)
    acquiring = asyncio.create_task(bench.manager.acquire("b"))
    await settle()
    bench.loader.pending[0].succeed()
    lease = await acquiring
    reloading = asyncio.create_task(bench.manager.reload("b"))
    (await bench.loader.next_load()).fail()
    with pytest.raises(VoiceplaneError):
        await reloading
    with lease.use() as loaded:
        assert loaded.generation == 1
    assert bench.status("b").message
    lease.release()
    await bench.manager.close()


async def test_a_drain_answers_at_its_deadline_and_unloads_with_the_last_reference() -> None:
    bench = Bench()
    lease = await bench.manager.acquire("b")
    unloading = asyncio.create_task(bench.manager.unload("b", drain_timeout_ms=5000))
    await bench.clock.advance(1.0)
    assert not unloading.done()
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.acquire("b")
    assert caught.value.reason == "MODEL_DRAINING"
    await bench.clock.advance(5.0)
    assert (await unloading).state is ModelState.DRAINING
    with lease.use() as loaded:
        assert isinstance(loaded.model, FakeModel)
        assert not loaded.model.closed
    lease.release()
    await settle()
    assert bench.state("b") is ModelState.ABSENT
    assert not bench.loader.alive
    await bench.manager.close()


async def test_a_load_that_takes_too_long_has_failed_and_leaves_nothing() -> None:
    bench = Bench(by_itself=False, load_timeout_ms=10_000)
    acquiring = asyncio.create_task(bench.manager.acquire("b"))
    await bench.clock.advance(11.0)
    with pytest.raises(VoiceplaneError) as caught:
        await acquiring
    assert "10" in caught.value.message
    assert bench.state("b") is ModelState.FAILED
    assert bench.status("b").references == 0
    await bench.manager.close()
    assert not bench.loader.alive


async def test_a_model_may_have_a_load_timeout_of_its_own() -> None:
    bench = Bench(by_itself=False, load_timeout_ms=10_000)
    loading = asyncio.create_task(bench.manager.load(ModelSpec(model_id="b", load_timeout_ms=60_000)))
    await bench.clock.advance(30.0)
    bench.loader.pending[0].succeed()
    assert (await loading).state is ModelState.RESIDENT
    await bench.manager.close()


async def test_a_fetch_takes_no_slot_of_loads_and_none_of_their_time() -> None:
    bench = Bench(max_parallel_loads=1, load_timeout_ms=1_000)
    bench.loader.fetches = ((1, 100),)
    bench.loader.fetching.clear()
    slow = asyncio.create_task(bench.manager.load(ModelSpec(model_id="b")))
    await bench.clock.advance(3_600.0)
    assert bench.state("b") is ModelState.FETCHING, "as long as bytes come, it may go on"
    bench.loader.fetches = ()
    assert (await bench.manager.load(ModelSpec(model_id="c"))).state is ModelState.RESIDENT
    bench.loader.fetching.set()
    assert (await slow).state is ModelState.RESIDENT
    assert bench.status("b").load_duration_ms == 3_600_000
    await bench.manager.close()


async def test_fetches_are_limited() -> None:
    bench = Bench(max_parallel_fetches=1)
    bench.loader.fetches = ((1, 100),)
    bench.loader.fetching.clear()
    loads = [asyncio.create_task(bench.manager.load(ModelSpec(model_id=each))) for each in ("b", "c")]
    await settle()
    assert [bench.status(each).fetched_bytes for each in ("b", "c")] == [1, 0]
    bench.loader.fetching.set()
    await asyncio.gather(*loads)
    await bench.manager.close()


async def test_after_a_failure_sessions_wait_and_an_explicit_load_does_not() -> None:
    bench = Bench(by_itself=False)
    acquiring = asyncio.create_task(bench.manager.acquire("b"))
    await settle()
    bench.loader.pending[0].fail()
    with pytest.raises(VoiceplaneError):
        await acquiring
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.acquire("b")
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.retry_after_ms
    loading = asyncio.create_task(bench.manager.load(ModelSpec(model_id="b")))
    await settle()
    bench.loader.pending[0].succeed()
    assert (await loading).state is ModelState.RESIDENT
    await bench.manager.close()
