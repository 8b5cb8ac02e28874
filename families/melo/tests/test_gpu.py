"""MeloTTS on a GPU: streamed as on a CPU, with its memory returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_family_melo.adapter import MeloAdapter
from voiceplane_worker.adapters.base import Piece

from families.melo.tests.tiny import pack_of_tiny
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_family_melo.model import MeloModel
    from voiceplane_worker.adapters.base import Samples

pytestmark = pytest.mark.gpu


def speak(model: MeloModel) -> Samples:
    piece = Piece(text="Nine green bottles are standing on the wall.", voice="EN-US", language="en-US")
    return np.concatenate(list(model.synthesize(piece)))


def test_it_speaks_with_a_seed_as_it_does_on_a_cpu(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="5")
    models = [MeloAdapter().load(pack, device=device, threads=1) for device in ("cuda", "cpu")]
    here, there = (speak(model) for model in models)
    assert here.size == pytest.approx(there.size, rel=0.05)  # a duration may be rounded up here, and down there
    np.testing.assert_array_equal(speak(models[0]).size, here.size)
    for model in models:
        model.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(MeloAdapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
