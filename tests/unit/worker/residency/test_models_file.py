"""Models that are declared: by a file at the start, or by a LoadModel that loads nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec, Residency
from voiceplane_worker.residency.model_status import ModelState, ModelStatus
from voiceplane_worker.residency.models_file import read_models_file
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock, settle
from tests.support.models import FakeCatalog, FakeLoader

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = PackSource(uri="file:///voices/a")


class Bench:
    def __init__(self, *declared: ModelSpec, by_itself: bool = True) -> None:
        self.loader = FakeLoader(by_itself=by_itself)
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="default", max_parallel_loads=4),
            catalog=FakeCatalog(("default",)),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=VirtualClock(),
            declared=declared,
        )

    def status(self, model_id: str) -> ModelStatus:
        return next(each for each in self.manager.statuses() if each.model_id == model_id)


async def test_a_file_names_models_with_their_rules(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(
        "models:\n- {modelId: a, family: mock, source: {uri: 'file:///voices/a'}, residency: pinned, ttlMs: 5,"
        " declaration: ns/a, voices: [{name: low, language: en}], languages: [en, de]}\n- {modelId: b}\n"
    )
    first, second = read_models_file(file)
    assert first == ModelSpec(
        model_id="a",
        family="mock",
        source=SOURCE,
        residency=Residency.PINNED,
        ttl_ms=5,
        declaration="ns/a",
        voices=(Voice(name="low", language="en"),),
        languages=("en", "de"),
    )
    assert second == ModelSpec(model_id="b")
    file.write_text("")
    assert read_models_file(file) == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("models: [{modelID: a}]", "modelID"),
        ("models: [{family: mock}]", "model_id"),
        ("model: [{modelId: a}]", "models"),
        ("models: [{modelId: a, residency: always}]", "models[0]"),
        ("models: [{", "not YAML"),
        (None, "cannot read"),
    ],
)
async def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "models.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(VoiceplaneError) as caught:
        read_models_file(file)
    assert str(file) in caught.value.message
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ("modelId: a, of_a_newer_operator: 1", [ModelSpec(model_id="a", declaration="ns/a")]),
        ("modelId: a, residency: sometimes", [ModelSpec(model_id="a", declaration="ns/a")]),
        ("modelId: a, ttlMs: {days: 1}", []),
        ("modelId: a, source: {newer: 1, sha256: abc}", []),
    ],
)
def test_a_worker_starts_with_a_file_of_a_newer_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str, left: list[ModelSpec]
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(f"models: [{{{entry}, declaration: ns/a}}, {{modelId: b, declaration: ns/b}}]")
    assert read_models_file(file) == (*left, ModelSpec(model_id="b", declaration="ns/b"))
    assert "models_file_entry_ignored" in "".join(capsys.readouterr())


async def test_preloaded_models_load_at_the_start_and_others_when_they_are_asked_for() -> None:
    bench = Bench(
        ModelSpec(model_id="a", source=SOURCE, residency=Residency.PRELOAD, declaration="ns/a"),
        ModelSpec(model_id="b", source=SOURCE, declaration="ns/b"),
    )
    await bench.manager.start()
    await settle()
    assert bench.status("a").state is ModelState.RESIDENT
    assert bench.status("b").state is ModelState.ABSENT
    assert (bench.status("a").declaration, bench.status("b").declaration) == ("ns/a", "ns/b")
    (await bench.manager.acquire("b")).release()
    assert bench.status("b").state is ModelState.RESIDENT
    await bench.manager.close()


async def test_a_declared_model_that_fails_does_not_keep_the_worker_from_being_ready() -> None:
    bench = Bench(ModelSpec(model_id="a", source=SOURCE, residency=Residency.PRELOAD), by_itself=False)
    starting = asyncio.create_task(bench.manager.start())
    await settle()
    for load in list(bench.loader.pending):
        load.succeed() if load.model_id == "default" else load.fail()
    await starting
    await settle()
    assert bench.manager.ready
    assert bench.status("a").state is ModelState.FAILED
    await bench.manager.close()


async def test_declaring_loads_nothing_and_an_unload_forgets_it() -> None:
    bench = Bench()
    await bench.manager.start()
    status = bench.manager.declare(ModelSpec(model_id="a", source=SOURCE, declaration="ns/a@1"))
    assert (status.state, status.declaration) == (ModelState.ABSENT, "ns/a@1")
    assert [load.model_id for load in bench.loader.pending] == []
    (await bench.manager.acquire("a")).release()
    assert bench.status("a").generation == 1
    await bench.manager.unload("a")
    assert [each.model_id for each in bench.manager.statuses()] == ["default"]
    await bench.manager.close()


async def test_declaring_other_content_of_a_resident_model_loads_it_again() -> None:
    bench = Bench()
    await bench.manager.start()
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="ns/a@1"))
    other = PackSource(uri="file:///voices/other")
    bench.manager.declare(ModelSpec(model_id="a", source=other, declaration="ns/a@2"))
    await settle()
    assert (bench.status("a").generation, bench.status("a").declaration) == (2, "ns/a@2")
    bench.manager.declare(ModelSpec(model_id="a", source=other, ttl_ms=7, declaration="ns/a@3"))
    await settle()
    assert (bench.status("a").generation, bench.status("a").declaration) == (2, "ns/a@3")
    await bench.manager.close()


async def test_what_an_edit_leaves_out_is_gone() -> None:
    bench = Bench()
    declared = ModelSpec(model_id="a", source=SOURCE, options={"speed": "2"}, warm_up_text="Hi.", declaration="v1")
    await bench.manager.load(declared)
    edited = ModelSpec(model_id="a", source=SOURCE, declaration="v2")
    await bench.manager.load(edited)
    assert bench.loader.specs[-1].options == {}
    assert bench.loader.specs[-1].warm_up_text == ""
    loads = len(bench.loader.specs)
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v3"))
    assert len(bench.loader.specs) == loads, "the content is the same, only its declaration is another one"
    assert bench.status("a").declaration == "v3"


async def test_a_reload_names_what_it_loads_and_why_that_failed() -> None:
    bench = Bench(by_itself=False)
    first = asyncio.create_task(bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1")))
    (await bench.loader.next_load()).succeed()
    await first
    edited = ModelSpec(model_id="a", source=SOURCE, options={"speed": "2"}, declaration="v2")
    status = await bench.manager.load(edited, no_wait=True)
    assert (status.state, status.reason, status.declaration) == (ModelState.RESIDENT, "Reloading", "v2")
    (await bench.loader.next_load()).fail()
    await settle()
    status = bench.status("a")
    assert (status.state, status.reason, status.declaration) == (ModelState.RESIDENT, "ReloadFailed", "v2")
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1"))
    status = bench.status("a")
    assert (status.state, status.reason, status.declaration) == (ModelState.RESIDENT, "", "v1")


async def test_other_voices_are_offered_at_once_without_a_load() -> None:
    bench = Bench()
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1"))
    french = ModelSpec(
        model_id="a",
        source=SOURCE,
        declaration="v2",
        voices=(Voice(name="v", language="fr"),),
        languages=("fr", "de"),
    )
    status = await bench.manager.load(french)
    assert (status.voices, status.languages, status.generation) == (french.voices, ("fr", "de"), 1)
    lease = await bench.manager.acquire("a")
    assert lease.voice_catalog.voices == french.voices
    status = await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v3"))
    assert (status.voices[0].language, status.languages, status.generation) == ("en", (), 1)
    assert lease.voice_catalog.voices[0].language == "en"


async def test_a_voice_that_it_does_not_have_is_refused_and_the_former_ones_stay() -> None:
    bench = Bench()
    wrong = ModelSpec(model_id="a", source=SOURCE, declaration="v2", voices=(Voice(name="unknown", language=""),))
    with pytest.raises(VoiceplaneError, match="no voice 'unknown'"):
        await bench.manager.load(wrong)
    status = bench.status("a")
    assert (status.state, status.reason) == (ModelState.FAILED, "UnknownVoice")
    assert not bench.loader.alive
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1"))
    with pytest.raises(VoiceplaneError, match="no voice 'unknown'"):
        await bench.manager.load(wrong)
    status = bench.status("a")
    assert (status.state, status.declaration, status.voices[0].name) == (ModelState.RESIDENT, "v1", "v")


async def test_a_voice_named_while_it_loads_is_looked_for_when_it_has() -> None:
    bench = Bench(by_itself=False)
    first = asyncio.create_task(bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1")))
    pending = await bench.loader.next_load()
    wrong = ModelSpec(model_id="a", source=SOURCE, declaration="v2", voices=(Voice(name="unknown", language=""),))
    await bench.manager.load(wrong, no_wait=True)
    pending.succeed()
    with pytest.raises(VoiceplaneError, match="no voice 'unknown'"):
        await first
    assert not bench.loader.alive


async def test_a_declaration_that_drops_the_source_of_a_model_that_no_catalog_knows_asks_for_another_one() -> None:
    bench = Bench()
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v1"))
    await bench.manager.load(ModelSpec(model_id="a", source=SOURCE, declaration="v2"))
    assert bench.status("a").generation == 1
    await bench.manager.load(ModelSpec(model_id="a", declaration="v3"))
    assert bench.status("a").generation == 2  # the loader of real packs refuses that one
