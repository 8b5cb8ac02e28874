"""CosyVoice 2 on a GPU: in half precision, streamed as on a CPU, with its memory returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_worker.adapters.base import Piece

from families.cosyvoice2.tests.tiny import TOKEN_SAMPLES, pack_of_tiny, write_wav
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Model, Samples

pytestmark = pytest.mark.gpu


def speak(model: Model) -> Samples:
    piece = Piece(text="Nine green bottles.", voice=model.voices[0].name, language="en")
    return np.concatenate(list(model.synthesize(piece)))


def test_it_speaks_in_half_precision_and_with_a_seed_always_the_same(tmp_path: Path) -> None:
    model = CosyVoice2Adapter().load(pack_of_tiny(tmp_path / "tiny", seed="5"), device="cuda", threads=1)
    assert model._parts is not None
    assert model._parts.llm.llm_decoder.weight.dtype == torch.float16
    assert model._parts.hift.conv_post.bias.dtype == torch.float32
    first = speak(model)
    assert first.dtype == np.float32
    assert first.size % TOKEN_SAMPLES == 0
    assert 0.01 < np.sqrt(np.mean(first**2)) < 0.9
    np.testing.assert_array_equal(speak(model), first)
    model.close()


def test_a_voice_is_cloned(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="5", reference_text="This is what I sound like.")
    write_wav(pack.path / "seed.wav")
    metadata = pack.metadata.model_copy(update={"reference": "seed.wav", "voices": pack.metadata.voices[:1]})
    model = CosyVoice2Adapter().load(
        type(pack)(path=pack.path, metadata=metadata, sha256=pack.sha256), device="cuda", threads=1
    )
    assert model._prompts["first"].frames.is_cuda
    assert speak(model).size > 0
    model.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(CosyVoice2Adapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
