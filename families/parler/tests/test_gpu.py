"""Parler-TTS on a GPU: in half precision, with a codec in full, streamed as on a CPU, with its memory returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_parler.adapter import ParlerAdapter
from voiceplane_worker.adapters.base import Piece

from families.parler.tests.tiny import FRAME_SAMPLES, pack_of_tiny
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Model, Samples

pytestmark = pytest.mark.gpu


def speak(model: Model) -> Samples:
    piece = Piece(text="Nine green bottles.", voice="Laura", language="en")
    return np.concatenate(list(model.synthesize(piece)))


@pytest.mark.parametrize("crossed", [False, True])
def test_it_speaks_in_half_precision_and_with_a_seed_always_the_same(tmp_path: Path, crossed: bool) -> None:
    model = ParlerAdapter().load(pack_of_tiny(tmp_path / "tiny", crossed=crossed, seed="5"), device="cuda", threads=1)
    parts = model._here().model
    assert next(parts.decoder.parameters()).dtype in {torch.bfloat16, torch.float16}
    assert next(parts.audio_encoder.parameters()).dtype == torch.float32
    assert {parameter.device.type for parameter in parts.parameters()} == {"cuda"}
    first = speak(model)
    assert first.dtype == np.float32
    assert first.size % FRAME_SAMPLES == 0
    np.testing.assert_array_equal(speak(model), first)
    model.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(ParlerAdapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
