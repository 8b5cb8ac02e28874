"""CSM on a GPU: in half precision, streamed as on a CPU, with its memory returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_csm.adapter import CsmAdapter
from voiceplane_worker.adapters.base import Piece

from families.csm.tests.tiny import FRAME_SAMPLES, lora_pack, pack_of_tiny
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Model, Samples

pytestmark = pytest.mark.gpu


def speak(model: Model) -> Samples:
    piece = Piece(text="Nine green bottles.", voice="first", language="en")
    return np.concatenate(list(model.synthesize(piece)))


def test_it_speaks_in_half_precision_and_with_a_seed_always_the_same(tmp_path: Path) -> None:
    model = CsmAdapter().load(pack_of_tiny(tmp_path / "tiny", seed="5"), device="cuda", threads=1)
    assert model._resident.model.dtype in {torch.bfloat16, torch.float16}
    first = speak(model)
    assert first.dtype == np.float32
    assert first.size % FRAME_SAMPLES == 0
    np.testing.assert_array_equal(speak(model), first)
    model.close()


def test_an_adapter_sounds_otherwise_and_its_base_as_before(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="5")
    base = CsmAdapter().load(pack, device="cuda", threads=1)
    before = speak(base)
    adapter = base.attach(lora_pack(tmp_path / "lora", pack, seed="5"))
    assert not np.array_equal(speak(adapter), before)
    np.testing.assert_array_equal(speak(base), before)
    adapter.close()
    base.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(CsmAdapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
