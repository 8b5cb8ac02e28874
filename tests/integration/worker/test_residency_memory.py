"""Memory comes back: a real voice that is loaded and unloaded again and again."""

from __future__ import annotations

import statistics

import psutil
import pytest
from voiceplane_common.clock import SystemClock
from voiceplane_worker.models.loader import PackLoader
from voiceplane_worker.models.manager import ModelManager
from voiceplane_worker.models.status import ModelSpec, ModelState
from voiceplane_worker.packs.catalog import Catalog
from voiceplane_worker.settings import ModelManagerSection

from tests.support.packs import PIPER_MODEL_ID

CYCLES, SETTLING_CYCLES = 50, 5


@pytest.mark.timeout(300)
async def test_a_voice_holds_what_its_pack_says_and_gives_it_back_fifty_times() -> None:
    manager = ModelManager(
        settings=ModelManagerSection(default_model_id=""),
        catalog=Catalog(),
        loader=PackLoader(device="cpu", threads=1),
        clock=SystemClock(),
    )
    process = psutil.Process()
    unloaded_bytes: list[int] = []
    held_bytes: list[int] = []
    for generation in range(1, CYCLES + 1):
        status = await manager.load(ModelSpec(model_id=PIPER_MODEL_ID))
        assert (status.state, status.generation) == (ModelState.RESIDENT, generation)
        loaded_bytes = process.memory_info().rss
        status = await manager.unload(PIPER_MODEL_ID)
        assert status.state is ModelState.ABSENT
        unloaded_bytes.append(process.memory_info().rss)
        held_bytes.append(loaded_bytes - unloaded_bytes[-1])
    await manager.close()
    assert max(unloaded_bytes[SETTLING_CYCLES:]) < 1.05 * unloaded_bytes[SETTLING_CYCLES - 1]
    known = Catalog().find(PIPER_MODEL_ID)
    assert known
    assert known.metadata.memory_bytes == pytest.approx(statistics.median(held_bytes), rel=0.2)
