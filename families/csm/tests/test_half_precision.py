"""Half precision, as on a GPU: everything that speaks in float32 speaks in it, too."""

from __future__ import annotations

import wave
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_csm.adapter import CsmAdapter
from voiceplane_worker.adapters.base import Piece

from families.csm.tests.tiny import RATE_HZ, lora_pack, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voiceplane_family_csm.model import CsmModel
    from voiceplane_worker.adapters.base import Model, Samples
    from voiceplane_worker.packs.pack import VoicePack

SEED = "7"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("csm") / "tiny", seed=SEED)


@pytest.fixture(params=[torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """The type of the weights, on a CPU, too."""
    monkeypatch.setattr("voiceplane_family_csm.adapter.torch_dtype", lambda _: request.param)
    dtype: torch.dtype = request.param
    return dtype


@pytest.fixture
def model(pack: VoicePack, half: torch.dtype) -> Iterator[CsmModel]:
    model = CsmAdapter().load(pack, device="cpu", threads=1)
    assert model._resident.model.dtype is half
    yield model
    model.close()


def speak(model: Model) -> Samples:
    audio = np.concatenate(list(model.synthesize(Piece(text="Nine bottles.", voice="first", language="en"))))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() > 0.01
    return audio


def test_a_model_and_an_adapter_speak(model: CsmModel, pack: VoicePack, tmp_path: Path) -> None:
    before = speak(model)
    adapter = model.attach(lora_pack(tmp_path / "lora", pack, seed=SEED))
    assert not np.array_equal(speak(adapter), before)
    adapter.close()
    np.testing.assert_array_equal(speak(model), before)


@pytest.mark.usefixtures("half")
def test_a_voice_is_cloned(pack: VoicePack, tmp_path: Path) -> None:
    recording = tmp_path / "seed.wav"
    pcm = (8_000 * np.sin(np.arange(RATE_HZ) * 0.05)).astype("<i2")
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(pcm.tobytes())
    metadata = pack.metadata.model_copy(
        update={
            "reference": "seed.wav",
            "voices": pack.metadata.voices[:1],
            "options": pack.metadata.options | {"reference_text": "A tone."},
        }
    )
    model = CsmAdapter().load(replace(pack, metadata=metadata, reference=recording), device="cpu", threads=1)
    try:
        speak(model)
    finally:
        model.close()
