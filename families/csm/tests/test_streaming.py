"""CSM speaks frame by frame: what is streamed is what the library gives for the whole, and a STOP ends the compute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from voiceplane_family_csm import codec, resident
from voiceplane_family_csm.adapter import CsmAdapter
from voiceplane_family_csm.codec import CodecStream, NotCausalError, check_causal
from voiceplane_worker.adapters.base import Piece

from families.csm.tests.tiny import CODEBOOKS, CODES, FRAME_SAMPLES, RATE_HZ, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voiceplane_family_csm.model import CsmModel
    from voiceplane_worker.packs.pack import VoicePack

TEXT = "The train to the coast leaves at noon."


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("csm") / "tiny", weights=3)


@pytest.fixture(scope="module")
def model(pack: VoicePack) -> Iterator[CsmModel]:
    model = CsmAdapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def frames(model: CsmModel, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The frames of codes that the library has generated, as they come."""
    codes: list[Any] = []
    decode = CodecStream.decode

    def noted(self: CodecStream, frame: torch.Tensor) -> Any:
        codes.append(frame)
        return decode(self, frame)

    monkeypatch.setattr(codec.CodecStream, "decode", noted)
    return codes


def piece(text: str = TEXT, voice: str = "first") -> Piece:
    return Piece(text=text, voice=voice, language="en")


@pytest.mark.parametrize("size", [1, 3, 7])
def test_streamed_frames_decode_to_what_the_whole_decodes_to(model: CsmModel, size: int) -> None:
    mimi = model._resident.model.codec_model
    codes = torch.randint(CODES, (CODEBOOKS, 90), generator=torch.Generator().manual_seed(size))
    with torch.inference_mode():
        whole = mimi.decode(codes[None]).audio_values[0, 0].numpy()
        stream = CodecStream(mimi)
        parts = [stream.decode(codes[:, start : start + size]) for start in range(0, 90, size)]
    assert codes.shape[1] > 2 * mimi.config.sliding_window  # the transformer has forgotten the beginning
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert np.abs(whole).max() > 0.1


def test_frames_that_are_decoded_one_by_one_would_click(model: CsmModel) -> None:
    mimi = model._resident.model.codec_model
    codes = torch.randint(CODES, (CODEBOOKS, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = mimi.decode(codes[None]).audio_values[0, 0].numpy()
        alone = [mimi.decode(codes[None, :, [frame]]).audio_values[0, 0].numpy() for frame in range(20)]
    assert np.abs(np.concatenate(alone) - whole).max() > 0.1


def test_a_codec_that_looks_ahead_is_refused(model: CsmModel, monkeypatch: pytest.MonkeyPatch) -> None:
    mimi = model._resident.model.codec_model
    check_causal(mimi)
    monkeypatch.setattr(mimi.config, "use_causal_conv", False)
    with pytest.raises(NotCausalError, match="use_causal_conv is False"):
        check_causal(mimi)


def test_speech_is_what_the_library_generates_for_the_same_prompt(tmp_path: Path) -> None:
    seeded = CsmAdapter().load(pack_of_tiny(tmp_path / "seeded", weights=3, seed="11"), device="cpu", threads=1)
    streamed = np.concatenate(list(seeded.synthesize(piece())))
    library = seeded._resident
    inputs = library.processor.apply_chat_template(
        [{"role": "0", "content": [{"type": "text", "text": TEXT}]}], tokenize=True, return_dict=True
    )
    torch.manual_seed(11)
    with torch.inference_mode():
        (whole,) = library.model.generate(**inputs, max_new_tokens=streamed.size // FRAME_SAMPLES, output_audio=True)
    seeded.close()
    np.testing.assert_allclose(streamed, whole.numpy(), atol=1e-5)


def test_each_chunk_leaves_when_its_frame_is_there_and_nothing_is_computed_ahead(
    model: CsmModel, frames: list[Any]
) -> None:
    chunks = model.synthesize(piece())
    for number in range(1, 5):
        chunk = next(chunks)
        assert chunk.size == FRAME_SAMPLES
        assert chunk.size / RATE_HZ == 0.08
        assert len(frames) == number
    chunks.close()  # type: ignore[attr-defined]  # a generator


def test_a_closed_stream_computes_no_further_frame_and_leaves_no_thread(model: CsmModel, frames: list[Any]) -> None:
    before = set(threading.enumerate())
    chunks = model.synthesize(piece())
    next(chunks)
    assert set(threading.enumerate()) > before
    chunks.close()  # type: ignore[attr-defined]
    assert len(frames) == 1
    assert set(threading.enumerate()) == before
    assert not resident._device.locked()


def test_the_device_is_free_between_two_frames_of_a_stream(model: CsmModel) -> None:
    first, second = model.synthesize(piece()), model.synthesize(piece("And another one."))
    sizes = [next(first).size, next(second).size, next(first).size, next(second).size]
    assert sizes == [FRAME_SAMPLES] * 4
    assert not resident._device.locked()
    for stream in (first, second):
        stream.close()  # type: ignore[attr-defined]
