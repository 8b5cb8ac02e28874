"""The model manager with real CSM packs: an adapter brings its base, in the worker's own process or in a child."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import yaml
from voiceplane_common.clock import SystemClock
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.metadata import METADATA_FILE, PackSource
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.residency.pack_loader import PackLoader, adapter_of
from voiceplane_worker.settings import ModelManagerSection

from families.csm.tests.tiny import lora_pack, pack_of_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.residency.model_reference import ModelReference


def write_metadata(pack: VoicePack) -> None:
    (pack.path / METADATA_FILE).write_text(yaml.safe_dump(pack.metadata.model_dump(mode="json")))


def speak(lease: ModelReference) -> Samples:
    with lease.use() as loaded:
        piece = Piece(text="Nine green bottles.", voice="first", language="en")
        return np.concatenate(list(loaded.model.synthesize(piece)))


@pytest.mark.parametrize("hosted", [(), ("csm",)])
async def test_an_adapter_that_is_asked_for_brings_its_base(tmp_path: Path, hosted: tuple[str, ...]) -> None:
    base_pack = pack_of_tiny(tmp_path / "packs" / "csm" / "tiny", seed="5")
    anna_pack = lora_pack(tmp_path / "anna", base_pack, model_id="anna", seed="5")
    write_metadata(base_pack)
    write_metadata(anna_pack)
    anna = ModelSpec(model_id="anna", source=PackSource(uri=f"file://{anna_pack.path}"), base_model_id="tiny")
    before = set(psutil.Process().children())
    manager = ModelManager(
        settings=ModelManagerSection(default_model_id=""),
        catalog=PackCatalog(tmp_path / "packs"),
        loader=PackLoader(device="cpu", threads=1, adapter_of=lambda family: adapter_of(family, hosted=hosted)),
        clock=SystemClock(),
        declared=[anna],
    )
    leases = [await manager.acquire("anna"), await manager.acquire("tiny")]
    states = {status.model_id: status for status in manager.statuses()}
    assert [status.state for status in states.values()] == [ModelState.RESIDENT] * 2
    assert states["tiny"].generation == 1
    assert states["anna"].memory_bytes < states["tiny"].memory_bytes
    assert len(set(psutil.Process().children()) - before) == len(hosted)
    adapted, plain = (speak(lease) for lease in leases)
    assert not np.array_equal(adapted, plain)
    for lease in leases:
        lease.release()
    await manager.close()
    assert set(psutil.Process().children()) == before
