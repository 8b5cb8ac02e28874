"""A LoRA holds its base: it is loaded first, stays as long as the adapter does, and takes it along into a new load."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.model_status import ModelState, ModelStatus
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock, settle
from tests.support.models import FakeCatalog, FakeLoader, FakeModel
from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = PackSource(uri="file:///voices/lora")
LORA = ModelSpec(model_id="lora", source=SOURCE, base_model_id="base")


class Bench:
    def __init__(self, *declared: ModelSpec, by_itself: bool = True, **limits: Any) -> None:
        self.clock = VirtualClock()
        self.loader = FakeLoader(by_itself=by_itself)
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="", **limits),
            catalog=FakeCatalog(("base", "other")),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=self.clock,
            declared=declared,
        )

    def status(self, model_id: str) -> ModelStatus:
        return next(each for each in self.manager.statuses() if each.model_id == model_id)

    def model(self, model_id: str) -> FakeModel:
        """The latest of this name that is open."""
        return [model for model in self.loader.alive if model.model_id == model_id][-1]


async def test_a_session_of_a_lora_loads_its_base_first_though_one_load_may_run_at_a_time() -> None:
    bench = Bench(LORA, by_itself=False, max_parallel_loads=1)
    session = asyncio.create_task(bench.manager.acquire("lora"))
    (await bench.loader.next_load()).succeed()
    await settle()
    assert bench.status("base").state is ModelState.RESIDENT
    (await bench.loader.next_load()).succeed()
    with (await session).use() as loaded:
        model = loaded.model
        assert isinstance(model, FakeModel)
        assert model.base is bench.model("base")
    assert [spec.model_id for spec in bench.loader.specs] == ["base", "lora"]
    await bench.manager.close()
    assert bench.loader.alive == []


async def test_a_pack_of_the_catalog_names_its_base_itself(tmp_path: Path) -> None:
    write_pack(tmp_path / "mock" / "base", "base")
    write_pack(tmp_path / "mock" / "lora", "lora", base_model_id="base")
    loader = FakeLoader(by_itself=True)
    manager = ModelManager(
        settings=ModelManagerSection(default_model_id=""),
        catalog=PackCatalog(tmp_path),
        loader=loader,
        clock=VirtualClock(),
    )
    for _ in range(2):  # asked for again, it is the same
        assert (await manager.load(ModelSpec(model_id="lora"))).base_model_id == "base"
    assert [spec.model_id for spec in loader.specs] == ["base", "lora"]
    await manager.close()


async def test_several_loras_share_one_base_that_is_resident() -> None:
    bench = Bench(LORA)
    await bench.manager.load(ModelSpec(model_id="base"))
    await bench.manager.load(LORA)
    await bench.manager.load(ModelSpec(model_id="second", source=SOURCE, base_model_id="base"))
    assert bench.loader.started == {"base": 1, "lora": 1, "second": 1}
    assert bench.model("lora").base is bench.model("second").base is bench.model("base")
    assert bench.status("base").references == 2
    assert bench.status("lora").base_model_id == "base"
    await bench.manager.close()
    assert [model.model_id for model in bench.loader.closed][-1] == "base"


async def test_a_base_is_not_evicted_while_an_adapter_is_there() -> None:
    bench = Bench(LORA, ttl_ms=1_000, min_residency_ms=0, evict_check_interval_ms=100)
    await bench.manager.start()
    lease = await bench.manager.acquire("lora")
    await bench.clock.advance(60.0)
    assert bench.status("base").state is ModelState.RESIDENT
    lease.release()
    await bench.clock.advance(1.2)
    assert bench.status("lora").state is ModelState.ABSENT
    assert bench.status("base").state is ModelState.RESIDENT
    await bench.clock.advance(1.2)
    assert bench.status("base").state is ModelState.ABSENT
    await bench.manager.close()


async def test_a_base_makes_no_room_for_its_own_adapter() -> None:
    bench = Bench(LORA, resident_cap=2, min_residency_ms=0)
    await bench.manager.load(ModelSpec(model_id="base"))
    await bench.clock.advance(1.0)
    await bench.manager.load(ModelSpec(model_id="other"))
    await bench.manager.load(LORA)
    assert bench.status("other").state is ModelState.ABSENT
    assert bench.loader.started["base"] == 1
    await bench.manager.close()


async def test_without_room_for_both_the_adapter_is_refused_and_the_base_is_let_go() -> None:
    bench = Bench(LORA, resident_cap=1, min_residency_ms=0)
    with pytest.raises(VoiceplaneError) as caught:
        await bench.manager.load(LORA)
    assert caught.value.reason == "NO_ROOM"
    assert bench.status("base").references == 0
    await bench.manager.close()


async def test_unloading_a_base_waits_for_its_adapters_which_go_on_speaking() -> None:
    bench = Bench(LORA)
    await bench.manager.load(LORA)
    base = await bench.manager.unload("base", drain_timeout_ms=0)
    assert base.state is ModelState.DRAINING
    lease = await bench.manager.acquire("lora")
    with lease.use() as loaded:
        assert not loaded.model.closed  # type: ignore[attr-defined]  # a FakeModel
    lease.release()
    await bench.manager.unload("lora")
    await settle()
    assert bench.status("base").state is ModelState.ABSENT
    assert [model.model_id for model in bench.loader.closed] == ["lora", "base"]
    await bench.manager.close()


async def test_adapters_follow_to_a_reloaded_base_and_free_the_old_one() -> None:
    bench = Bench(LORA)
    await bench.manager.load(LORA)
    old = bench.model("base")
    await bench.manager.reload("base")
    await settle()
    assert bench.status("lora").generation == 2
    assert bench.model("lora").base is bench.model("base")
    assert [model.model_id for model in bench.loader.closed] == ["lora", "base"]
    assert old.closed
    await bench.manager.close()
    assert bench.loader.alive == []


async def test_a_failed_attachment_lets_the_base_go() -> None:
    bench = Bench(LORA, by_itself=False)
    loading = asyncio.create_task(bench.manager.load(LORA))
    (await bench.loader.next_load()).succeed()
    await settle()
    assert bench.status("base").references == 1
    (await bench.loader.next_load()).fail()
    with pytest.raises(VoiceplaneError, match="wanted it to fail"):
        await loading
    assert bench.status("base").references == 0
    assert bench.status("lora").state is ModelState.FAILED
    await bench.manager.close()


@pytest.mark.parametrize("waits_for", ["base", "slot", "lora"])
async def test_an_unload_in_the_midst_of_a_load_lets_the_base_go(waits_for: str) -> None:
    bench = Bench(LORA, by_itself=False, max_parallel_loads=1)
    if waits_for == "slot":
        base = asyncio.create_task(bench.manager.load(ModelSpec(model_id="base")))
        (await bench.loader.next_load()).succeed()
        await base
        other = asyncio.create_task(bench.manager.load(ModelSpec(model_id="other")))
        await settle()
    loading = asyncio.create_task(bench.manager.load(LORA))
    await settle()
    if waits_for == "lora":
        (await bench.loader.next_load()).succeed()
        await settle()
    assert bench.status("base").references == 1
    await bench.manager.unload("lora")
    with pytest.raises(VoiceplaneError, match="unloaded"):
        await loading
    assert bench.status("base").references == 0
    if waits_for != "lora":
        (await bench.loader.next_load()).succeed()
    if waits_for == "slot":
        await other
    await bench.manager.close()
    assert bench.loader.alive == []


async def test_a_base_that_fails_to_load_is_the_adapter_s_failure() -> None:
    bench = Bench(LORA, by_itself=False)
    loading = asyncio.create_task(bench.manager.load(LORA))
    (await bench.loader.next_load()).fail()
    with pytest.raises(VoiceplaneError, match="wanted it to fail"):
        await loading
    assert bench.status("lora").state is ModelState.FAILED
    assert bench.status("lora").reason == "PackInvalid"
    await bench.manager.close()


@pytest.mark.parametrize(
    ("base_model_id", "reason", "message"),
    [
        ("unknown", "BASE_MODEL_NOT_FOUND", "'unknown'"),
        ("lora", "INVALID_ARGUMENT", "'lora' is a LoRA"),
        ("third", "INVALID_ARGUMENT", "'third' is a LoRA"),
    ],
)
async def test_a_base_that_is_none_is_named(base_model_id: str, reason: str, message: str) -> None:
    bench = Bench(ModelSpec(model_id="third", source=SOURCE, base_model_id="lora"))
    with pytest.raises(VoiceplaneError, match=message) as caught:
        await bench.manager.load(ModelSpec(model_id="lora", source=SOURCE, base_model_id=base_model_id))
    assert caught.value.reason == reason
    assert caught.value.field == "base_model_id"
    await bench.manager.close()
