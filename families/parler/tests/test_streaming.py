"""Parler-TTS in windows: what is streamed is what the library gives for the whole, and a STOP ends the compute."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import parler_tts.dac_wrapper.modeling_dac as wrapper
import pytest
import torch
from dac.model import DAC
from parler_tts import ParlerTTSForConditionalGeneration, ParlerTTSStreamer
from transformers import AutoTokenizer
from voiceplane_family_parler.adapter import ParlerAdapter
from voiceplane_family_parler.streamer import FIRST_FRAMES, MOST_FRAMES
from voiceplane_worker.adapters.base import Piece

from families.parler.tests.tiny import (
    CODEBOOKS,
    CODES,
    ENCODER_WIDTH,
    FRAME_SAMPLES,
    RATE_HZ,
    pack_of_tiny,
    wrapped_dac,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voiceplane_family_parler.model import ParlerModel
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

TEXT = "The train to the coast leaves."
DELAY = CODEBOOKS - 1
CONTEXT = 10  # frames, of DAC as published and of the tiny one: their kernels and strides are the same


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("parler") / "tiny", seed="11")


@pytest.fixture(scope="module")
def model(pack: VoicePack) -> Iterator[ParlerModel]:
    model = ParlerAdapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def small_dac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one where the library's wrapper makes the full one: its configuration says nothing of the widths."""

    def small(**sizes: Any) -> Any:
        return DAC(encoder_dim=4, decoder_dim=32, codebook_dim=4, **sizes)

    monkeypatch.setattr(wrapper, "DAC", small)


def load(pack: VoicePack) -> ParlerModel:
    return ParlerAdapter().load(pack, device="cpu", threads=1)


def piece(text: str = TEXT, voice: str = "Laura") -> Piece:
    return Piece(text=text, voice=voice, language="en")


def speak(model: ParlerModel, text: str = TEXT) -> Samples:
    return np.concatenate(list(model.synthesize(piece(text))))


def library(pack: VoicePack) -> Any:
    """The library's model as it is, besides the marks that no trained one draws."""
    model = ParlerTTSForConditionalGeneration.from_pretrained(pack.path).eval()
    model.generation_config.suppress_tokens = list(range(CODES + 1, model.config.decoder.vocab_size))
    return model


def steps_of(decoder: Any) -> list[None]:
    """The steps of a decoder from now on."""
    steps: list[None] = []
    decoder.register_forward_pre_hook(lambda *_: steps.append(None))
    return steps


def prompt_of(model: ParlerModel, pack: VoicePack, text: str = TEXT) -> dict[str, Any]:
    """What the library's documentation puts to generate()."""
    tokenizer = AutoTokenizer.from_pretrained(pack.path)
    description = tokenizer(model._options.description.replace("{voice}", "Laura"), return_tensors="pt")
    prompt = tokenizer(text, return_tensors="pt")
    return {
        "input_ids": description.input_ids,
        "attention_mask": description.attention_mask,
        "prompt_input_ids": prompt.input_ids,
        "prompt_attention_mask": prompt.attention_mask,
    }


def whole(pack: VoicePack, model: ParlerModel) -> Samples:
    """What the library gives for the text in one; 30 characters of 60 ms and 80 ms begin 162 frames."""
    plain = library(pack)
    torch.manual_seed(11)
    with torch.inference_mode():
        audio = plain.generate(**prompt_of(model, pack), max_length=162 + CODEBOOKS)
    samples: Samples = audio.reshape(-1).numpy()
    return samples


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"decoder": {"hidden_size": ENCODER_WIDTH}},  # as in the small models: no projection of the description
        {"decoder": {"rope_embeddings": True}},  # as in the large ones
        {"decoder": {"num_key_value_heads": 2}},
        {"crossed": True},
        {"end": 5.0},  # it ends by itself
    ],
)
def test_speech_is_what_the_library_generates_for_the_same_text(tmp_path: Path, changes: dict[str, Any]) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="11", **changes)
    model = load(pack)
    streamed = speak(model)
    reference = whole(pack, model)
    model.close()
    assert streamed.size > FIRST_FRAMES * FRAME_SAMPLES
    np.testing.assert_allclose(streamed, reference, atol=1e-5)


@pytest.mark.usefixtures("small_dac")
def test_the_wrapped_codec_of_the_public_models_gives_the_same_as_in_the_library(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="11", codec=wrapped_dac())
    model = load(pack)
    codec = model._here().model.audio_encoder
    assert codec.config.model_type == "dac_on_the_hub"
    assert model._here().codec.context_frames == CONTEXT
    streamed = speak(model)
    np.testing.assert_allclose(streamed, whole(pack, model), atol=1e-5)
    assert np.sqrt(np.mean(streamed**2)) > 0.01
    assert not any("parametrizations" in name for name, _ in codec.named_parameters())
    assert codec.model.encoder is None


@pytest.mark.parametrize("context", [CONTEXT, CONTEXT - 1])
def test_windows_with_their_context_equal_the_whole_and_with_less_do_not(model: ParlerModel, context: int) -> None:
    codec, frames = model._here().codec, 60
    codes = torch.randint(CODES, (CODEBOOKS, frames), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        reference = codec.decode(codes, skip=0, frames=frames)
        parts = []
        for begin in range(0, frames, 5):
            first = max(0, begin - context)
            parts.append(codec.decode(codes[:, first : begin + 5 + context], skip=begin - first, frames=5))
    difference = np.abs(np.concatenate(parts) - reference).max()
    assert codec.context_frames == CONTEXT
    assert (difference < 1e-5) == (context == CONTEXT)
    assert np.abs(reference).max() > 0.1


def test_a_chunk_leaves_as_soon_as_its_context_is_there_and_nothing_is_computed_ahead(model: ParlerModel) -> None:
    steps = steps_of(model._here().model.decoder)
    chunks = model.synthesize(piece())
    expected, spoken = FIRST_FRAMES, 0
    for _ in range(5):
        chunk = next(chunks)
        assert chunk.size == expected * FRAME_SAMPLES
        spoken += expected
        assert len(steps) == spoken + CONTEXT + DELAY
        expected = min(MOST_FRAMES, expected + 4)
    assert 0.04 <= FIRST_FRAMES * FRAME_SAMPLES / RATE_HZ <= 0.1
    chunks.close()  # type: ignore[attr-defined]  # a generator


def test_a_closed_stream_computes_no_further_step_and_leaves_no_thread(model: ParlerModel) -> None:
    before = set(threading.enumerate())
    steps = steps_of(model._here().model.decoder)
    chunks = model.synthesize(piece())
    next(chunks)
    assert set(threading.enumerate()) > before
    known = len(steps)
    chunks.close()  # type: ignore[attr-defined]
    assert len(steps) == known == FIRST_FRAMES + CONTEXT + DELAY
    assert set(threading.enumerate()) == before


def test_a_chunk_costs_the_codec_the_same_however_much_was_spoken(
    model: ParlerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = model._here().model.audio_encoder
    decode, windows = codec.decode, []

    def noted(*, audio_codes: torch.Tensor) -> Any:
        windows.append(audio_codes.shape[-1])
        return decode(audio_codes=audio_codes)

    monkeypatch.setattr(codec, "decode", noted)
    samples = speak(model, TEXT * 4)
    assert max(windows) == MOST_FRAMES + 2 * CONTEXT
    assert len(windows) > 20
    assert samples.size > 10 * max(windows) * FRAME_SAMPLES


def test_the_librarys_own_streamer_decodes_its_prefix_again_and_again(
    pack: VoicePack, model: ParlerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = library(pack)
    decode, windows = plain.audio_encoder.decode, []

    def noted(*, audio_codes: torch.Tensor) -> Any:
        windows.append(audio_codes.shape[-1])
        return decode(audio_codes=audio_codes)

    monkeypatch.setattr(plain.audio_encoder, "decode", noted)
    with torch.inference_mode():
        plain.generate(**prompt_of(model, pack), max_length=200, streamer=ParlerTTSStreamer(plain, play_steps=40))
    assert windows == sorted(windows)
    assert windows[-1] == 191


def test_speech_that_the_model_ends_is_not_generated_on(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="11", end=5.0)
    model = load(pack)
    steps = steps_of(model._here().model.decoder)
    frames = speak(model).size // FRAME_SAMPLES
    assert len(steps) == frames + DELAY
    plain = library(pack)
    library_steps = steps_of(plain.decoder)
    torch.manual_seed(11)
    with torch.inference_mode():
        plain.generate(**prompt_of(model, pack), max_length=400)
    assert len(library_steps) > len(steps)  # it waits until every codebook has ended


def test_speech_that_never_ends_is_ended(tmp_path: Path) -> None:
    model = load(pack_of_tiny(tmp_path / "tiny", longest_ms_per_character="20", longest_ms_besides="100"))
    steps = steps_of(model._here().model.decoder)
    assert speak(model, "a" * 25).size == 52 * FRAME_SAMPLES  # 600 ms begin 52 frames
    assert len(steps) == 52 + DELAY


def test_streams_that_alternate_speak_as_each_does_alone(model: ParlerModel) -> None:
    texts = (TEXT, "And now for something else.")
    alone = [speak(model, text) for text in texts]
    streams = [model.synthesize(piece(text)) for text in texts]
    parts: list[list[Samples]] = [[], []]
    for number in [0, 1, 1, 0] * 20:
        if (chunk := next(streams[number], None)) is not None:
            parts[number].append(chunk)
    for number in range(2):
        np.testing.assert_array_equal(np.concatenate(parts[number]), alone[number])


def test_streams_that_run_at_once_speak_as_each_does_alone(model: ParlerModel) -> None:
    texts = (TEXT, "And now for something else.", "Nine green bottles.")
    alone = {text: speak(model, text) for text in texts}
    at_once: dict[str, Samples] = {}
    together = threading.Barrier(len(texts))

    def run(text: str) -> None:
        together.wait(timeout=10)
        at_once[text] = speak(model, text)

    threads = [threading.Thread(target=run, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(at_once[text], alone[text], atol=1e-5)


def test_a_cache_that_the_library_would_keep_for_all_streams_is_not_used(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", seed="11")
    published = json.loads((pack.path / "generation_config.json").read_text())
    (pack.path / "generation_config.json").write_text(
        json.dumps(published | {"cache_implementation": "sliding_window"})
    )
    model = load(pack)
    assert model._here().model.generation_config.cache_implementation == "sliding_window"
    assert speak(model).size > 0
    assert not hasattr(model._here().model, "_cache")
