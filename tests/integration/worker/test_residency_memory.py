"""Memory comes back: a real voice that is loaded and unloaded again and again, in a process that does nothing else."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from voiceplane_common import gc_tuning
from voiceplane_common.clock import SystemClock
from voiceplane_worker.adapters.memory import release_memory
from voiceplane_worker.adapters.mock import MockAdapter, MockModel
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.residency.pack_loader import PackLoader
from voiceplane_worker.settings import ModelManagerSection

from families.piper.tests.packs import PIPER_MODEL_ID

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

CYCLES, SETTLING_CYCLES = 25, 5


class Weights:
    """They refer to themselves, as a module of torch may."""

    def __init__(self) -> None:
        self.itself = self


class HeavyModel(MockModel):
    """A mock that frees what it holds as a real family does."""

    def __init__(self, pack: VoicePack) -> None:
        super().__init__(pack)
        self.weights: Weights | None = Weights()

    def close(self) -> None:
        self.weights = None
        release_memory()


class HeavyAdapter(MockAdapter):
    """Loads such models, and keeps an eye on their weights."""

    def __init__(self) -> None:
        self.loaded: list[weakref.ref[Weights]] = []

    def load(self, pack: VoicePack, *, device: str, threads: int) -> MockModel:
        del device, threads
        model = HeavyModel(pack)
        assert model.weights
        self.loaded.append(weakref.ref(model.weights))
        return model


async def measure() -> dict[str, list[int]]:
    """Load and unload the voice. Returns the resident bytes of this process after each load and after each unload."""
    manager = ModelManager(
        settings=ModelManagerSection(default_model_id=""),
        catalog=PackCatalog(),
        loader=PackLoader(device="cpu", threads=1),
        clock=SystemClock(),
    )
    process = psutil.Process()
    loaded_bytes: list[int] = []
    unloaded_bytes: list[int] = []
    for generation in range(1, CYCLES + 1):
        status = await manager.load(ModelSpec(model_id=PIPER_MODEL_ID))
        assert (status.state, status.generation) == (ModelState.RESIDENT, generation)
        loaded_bytes.append(process.memory_info().rss)
        status = await manager.unload(PIPER_MODEL_ID)
        assert status.state is ModelState.ABSENT
        unloaded_bytes.append(process.memory_info().rss)
    await manager.close()
    return {"loaded": loaded_bytes, "unloaded": unloaded_bytes}


@pytest.mark.timeout(300)
async def test_a_voice_holds_what_its_pack_says_and_gives_it_back_each_time() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    measured = json.loads(output.splitlines()[-1])  # after the log
    unloaded_bytes = measured["unloaded"]
    assert len(unloaded_bytes) == CYCLES
    assert max(unloaded_bytes[SETTLING_CYCLES:]) < 1.05 * unloaded_bytes[SETTLING_CYCLES - 1]
    known = PackCatalog().find(PIPER_MODEL_ID)
    assert known
    held_bytes = [loaded - unloaded for loaded, unloaded in zip(measured["loaded"], unloaded_bytes, strict=True)]
    assert known.metadata.memory_bytes == pytest.approx(statistics.median(held_bytes), rel=0.2)


@pytest.mark.timeout(300)
async def test_a_worker_that_has_settled_gives_a_voice_back_too() -> None:
    """What is loaded is left out of collections from then on, and must be found when it is unloaded."""
    adapter = HeavyAdapter()
    manager = ModelManager(
        settings=ModelManagerSection(default_model_id=""),
        catalog=PackCatalog(),
        loader=PackLoader(device="cpu", threads=1, adapter_of=lambda _: adapter),
        clock=SystemClock(),
    )
    thresholds = gc.get_threshold()
    gc_tuning.freeze()
    try:
        await manager.load(ModelSpec(model_id="mock"))
        (weights,) = adapter.loaded
        assert weights() is not None
        await manager.unload("mock")
        assert weights() is None
    finally:
        await manager.close()
        gc.unfreeze()
        gc.set_threshold(*thresholds)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
