"""Packs of declared models are fetched ahead of their load, and the status tells how far that is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.errors import unavailable
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.fetch_state import FetchState
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock, settle
from tests.support.models import FakeCatalog, FakeLoader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.residency.model_status import ModelStatus

SPEC = ModelSpec(model_id="joe", source=PackSource(uri="hf://voices/joe"), declaration="ns/joe@1")


class Loader(FakeLoader):
    """Counts fetches, and refuses as many as the test wants."""

    def __init__(self) -> None:
        super().__init__(by_itself=True)
        self.fetched: list[str] = []
        self.refusals = 0

    async def fetch(self, spec: ModelSpec, *arguments: Any, **changes: Any) -> VoicePack:
        self.fetched.append(spec.source.uri if spec.source else spec.model_id)
        if self.refusals:
            self.refusals -= 1
            raise unavailable("FETCH_FAILED", "cannot reach hf://voices/joe")
        return await super().fetch(spec, *arguments, **changes)


class Bench:
    def __init__(self, *declared: ModelSpec, prefetch: bool = True) -> None:
        self.clock = VirtualClock()
        self.loader = Loader()
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="", prefetch=prefetch),
            catalog=FakeCatalog(("known",)),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=self.clock,
            declared=declared,
        )

    def status(self, model_id: str = "joe") -> ModelStatus:
        return next(each for each in self.manager.statuses() if each.model_id == model_id)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.manager.start()
    yield made
    await made.manager.close()


async def test_a_declared_model_is_fetched_and_not_loaded(bench: Bench) -> None:
    bench.loader.fetches = ((0, 60), (20, 60))
    bench.loader.fetching.clear()
    bench.manager.declare(SPEC)
    await settle()
    told = bench.status()
    assert (told.state, told.fetched_bytes, told.fetch_bytes, told.prefetched) == (ModelState.ABSENT, 0, 60, False)
    bench.loader.fetching.set()
    await settle()
    told = bench.status()
    assert (told.state, told.fetch_bytes, told.prefetched, told.reason) == (ModelState.ABSENT, 0, True, "")
    assert bench.loader.started == {}
    await bench.manager.load(SPEC)
    assert (bench.status().state, bench.status().prefetched) == (ModelState.RESIDENT, False)


async def test_the_models_file_counts_and_the_catalog_does_not() -> None:
    bench = Bench(SPEC)
    await bench.manager.start()
    await settle()
    assert bench.loader.fetched == ["hf://voices/joe"]
    await bench.manager.close()


async def test_without_the_setting_nothing_is_fetched_ahead() -> None:
    bench = Bench(SPEC, prefetch=False)
    await bench.manager.start()
    await settle()
    assert bench.loader.fetched == []
    await bench.manager.close()


async def test_a_failure_is_reported_and_tried_again_later(bench: Bench) -> None:
    bench.loader.refusals = 1
    bench.manager.declare(SPEC)
    await settle()
    told = bench.status()
    assert (told.state, told.reason, told.prefetched) == (ModelState.ABSENT, "PrefetchFailed", False)
    assert "cannot reach" in told.message
    await bench.clock.advance(60.0)
    assert (bench.status().prefetched, bench.status().reason) == (True, "")
    assert len(bench.loader.fetched) == 2


async def test_another_source_is_fetched_again(bench: Bench) -> None:
    bench.manager.declare(SPEC)
    await settle()
    bench.manager.declare(replace(SPEC, source=PackSource(uri="hf://voices/other"), declaration="ns/joe@2"))
    assert bench.status().state is ModelState.ABSENT
    await settle()
    assert bench.loader.fetched == ["hf://voices/joe", "hf://voices/other"]
    assert bench.status().prefetched


async def test_a_session_does_not_wait_for_the_prefetch_of_another_model(bench: Bench) -> None:
    bench.loader.fetches = ((1, 2),)
    bench.loader.fetching.clear()
    bench.manager.declare(SPEC)
    await settle()
    bench.loader.fetches = ()
    await asyncio.wait_for(bench.manager.acquire("known"), 5)
    assert bench.status("known").state is ModelState.RESIDENT


def test_the_rate_is_that_of_the_last_seconds() -> None:
    fetch = FetchState()
    assert fetch.bytes_per_s == 0
    for second in range(20):
        fetch.note(second * 100 if second < 10 else 1000, 5000, now=float(second))
    assert fetch.bytes_per_s == 0
    fetch.note(1600, 5000, now=20.0)
    assert fetch.bytes_per_s == 120
    assert (fetch.done_bytes, fetch.total_bytes) == (1600, 5000)
