"""A models file that changes while the worker runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.metrics import Metrics
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.residency.models_file import read_models_file
from voiceplane_worker.residency.models_file_watcher import ModelsFileWatcher
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock
from tests.support.models import FakeCatalog, FakeLoader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

A = "{modelId: a, source: {uri: 'file:///a'}, residency: preload}"
B = "{modelId: b, source: {uri: 'file:///b'}}"
BY_OPERATOR = "{modelId: o, source: {uri: 'file:///o'}, residency: preload, declaration: ns/o}"


class Bench:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = VirtualClock()
        self.loader = FakeLoader(by_itself=True)
        self.metrics = Metrics()
        self.write(A)
        self.watcher = ModelsFileWatcher(str(file), read=read_models_file, metrics=self.metrics, clock=self.clock)
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="", resident_cap=4, max_parallel_loads=4),
            catalog=FakeCatalog(()),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=self.clock,
            declared=self.watcher.read_first(),
        )

    def write(self, *entries: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text("models:\n" + "".join(f"- {entry}\n" for entry in entries) if entries else "models: []\n")
        fresh.replace(self.file)

    def states(self) -> dict[str, ModelState]:
        return {status.model_id: status.state for status in self.manager.statuses()}

    def is_valid(self) -> bool:
        return self.metrics.registry.get_sample_value("voiceplane_worker_models_file_valid") == 1

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # a thread reads the file
                await self.clock.advance(1.0)
                await asyncio.sleep(0.001)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "models.yaml")
    await bench.manager.start()
    watching = asyncio.create_task(bench.watcher.watch(bench.manager))
    await bench.until(lambda: bench.states() == {"a": ModelState.RESIDENT})
    yield bench
    watching.cancel()
    await bench.manager.close()


async def test_an_entry_that_is_added_is_loaded_or_declared_as_at_the_start(bench: Bench) -> None:
    bench.write(A, B, "{modelId: c, source: {uri: 'file:///c'}, residency: pinned}")
    wanted = {"a": ModelState.RESIDENT, "b": ModelState.ABSENT, "c": ModelState.RESIDENT}
    await bench.until(lambda: bench.states() == wanted)
    assert bench.loader.started == {"a": 1, "c": 1}, "what did not change is not loaded again"


async def test_an_entry_that_is_removed_is_unloaded(bench: Bench) -> None:
    bench.write()
    await bench.until(lambda: bench.states() == {})
    assert [model.model_id for model in bench.loader.closed] == ["a"]


async def test_a_model_in_use_is_unloaded_when_its_session_ends(bench: Bench) -> None:
    reference = await bench.manager.acquire("a")
    bench.write()
    await bench.until(lambda: bench.states() == {"a": ModelState.DRAINING})
    reference.release()
    await bench.until(lambda: bench.states() == {})


async def test_an_entry_that_loses_an_option_is_loaded_again_without_it(bench: Bench) -> None:
    bench.write(A.replace("preload", "preload, options: {x: '1'}"))
    await bench.until(lambda: bench.loader.started["a"] == 2)
    bench.write(A)
    await bench.until(lambda: bench.loader.started["a"] == 3)
    assert [spec.options for spec in bench.loader.specs] == [{}, {"x": "1"}, {}]


@pytest.mark.parametrize("broken", ["models: [", "models: [{modelId: a, famly: x}]", None])
async def test_a_file_that_breaks_leaves_the_models_as_they_are(bench: Bench, broken: str | None) -> None:
    bench.file.unlink() if broken is None else bench.file.write_text(broken)
    await bench.until(lambda: not bench.is_valid())
    assert bench.states() == {"a": ModelState.RESIDENT}
    bench.write(A, B)
    await bench.until(lambda: bench.states() == {"a": ModelState.RESIDENT, "b": ModelState.ABSENT})
    assert bench.is_valid()


async def test_entries_of_an_operator_count_at_the_start_only(bench: Bench) -> None:
    """The operator calls LoadModel: its file may be older than its last call."""
    bench.write(A, BY_OPERATOR, B)
    await bench.until(lambda: "b" in bench.states())
    assert "o" not in bench.states()


def test_a_file_that_is_broken_at_the_start_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: 3")
    watcher = ModelsFileWatcher(str(file), read=read_models_file, metrics=Metrics(), clock=VirtualClock())
    with pytest.raises(VoiceplaneError, match="models"):
        watcher.read_first()
