"""XTTS speaks latent by latent: what is streamed is what the library gives in one, and a STOP ends the compute."""

from __future__ import annotations

import copy
import threading
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from voiceplane_family_xtts import model as adapter_model
from voiceplane_family_xtts.adapter import XttsAdapter
from voiceplane_family_xtts.generation import Generation
from voiceplane_family_xtts.vocoder import FRAME_SAMPLES, REACH_FRAMES, VocoderStream
from voiceplane_worker.adapters.base import Piece

from families.xtts.tests.tiny import CHANNELS, CODES, EMBEDDING, LATENT_S, RATE_HZ, SPEAKERS, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_xtts.model import XttsModel
    from voiceplane_worker.adapters.base import Samples

TEXT = "the train to the coast leaves at noon."
OTHER = "and it is never late, they say."
SEED = 11


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XttsModel]:
    pack = pack_of_tiny(tmp_path_factory.mktemp("xtts") / "tiny", weights=3, seed=str(SEED))
    model = XttsAdapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def taciturn(model: XttsModel) -> Iterator[None]:
    """The mark at which speech ends is likely meanwhile."""
    bias = model._model.gpt.mel_head.bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias[CODES + 1] = 12.0
    yield
    with torch.no_grad():
        bias.copy_(before)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The latents that the GPT has computed, as they come."""
    latents: list[torch.Tensor] = []
    step = Generation._step

    def noted(self: Generation) -> torch.Tensor:
        latents.append(step(self))
        return latents[-1]

    monkeypatch.setattr(Generation, "_step", noted)
    return latents


def piece(text: str = TEXT, *, voice: str = SPEAKERS[0], speed: float = 1.0) -> Piece:
    return Piece(text=text, voice=voice, language="en", speed=speed)


def speak(model: XttsModel, text: str = TEXT, *, speed: float = 1.0) -> Samples:
    return np.concatenate(list(model.synthesize(piece(text, speed=speed))))


def library_stream(model: XttsModel, text: str = TEXT, *, speed: float = 1.0, chunk: int = 0) -> Iterator[torch.Tensor]:
    """The library's own stream; in one chunk if `chunk` is 0."""
    voice = model._voices[SPEAKERS[0]]
    sampling = {name: getattr(model._sampling, name) for name in type(model._sampling).__annotations__}
    stream: Iterator[torch.Tensor] = model._model.inference_stream(
        text, "en", voice.latent, voice.embedding, stream_chunk_size=chunk, speed=speed, **sampling
    )
    return stream


@pytest.mark.parametrize("speed", [1.0, 0.7, 1.9])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_streamed_latents_decode_to_what_the_whole_decodes_to(model: XttsModel, size: int, speed: float) -> None:
    decoder = model._model.hifigan_decoder
    random = torch.Generator().manual_seed(size)
    latents = torch.randn(1, 60, CHANNELS, generator=random)
    embedding = functional.normalize(torch.randn(1, EMBEDDING, 1, generator=random), dim=1)
    with torch.inference_mode():
        stretched = latents
        if speed != 1.0:  # as the library does it
            values = latents.transpose(1, 2)
            stretched = functional.interpolate(values, scale_factor=1.0 / speed, mode="linear").transpose(1, 2)
        whole = decoder(stretched, g=embedding).squeeze().numpy()
    stream = VocoderStream(decoder, embedding, speed=speed)
    starts = range(0, 60, size)
    parts = [stream.push(latents[0, start : start + size], last=start == starts[-1]) for start in starts]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)
    assert np.abs(whole).max() > 0.1


def test_the_vocoder_reaches_as_far_as_is_assumed(model: XttsModel) -> None:
    network = copy.deepcopy(model._model.hifigan_decoder.waveform_decoder).double()  # far away it is a little only
    frames, embedding = (torch.randn(*shape, dtype=torch.float64) for shape in ((1, CHANNELS, 120), (1, EMBEDDING, 1)))
    other = frames.clone()
    other[..., 60] += 100.0
    with torch.inference_mode():
        changed = (network(frames, g=embedding) != network(other, g=embedding))[0, 0].nonzero()
    first, last = (int(place) // FRAME_SAMPLES - 60 for place in (changed.min(), changed.max()))
    assert max(-first, last) == REACH_FRAMES


def test_with_fewer_neighbours_the_joints_would_be_heard(model: XttsModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceplane_family_xtts.vocoder.REACH_FRAMES", 3)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_streamed_latents_decode_to_what_the_whole_decodes_to(model, size=8, speed=1.0)


@pytest.mark.parametrize("speed", [1.0, 1.6])
def test_speech_is_what_the_library_generates(
    model: XttsModel, steps: list[Any], monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    streamed = speak(model, speed=speed)
    monkeypatch.setattr(model._model.gpt, "max_gen_mel_tokens", len(steps))  # where we ended it, for its length
    torch.manual_seed(SEED)
    (whole,) = library_stream(model, speed=speed)
    np.testing.assert_allclose(streamed, whole.numpy(), atol=1e-4)


@pytest.mark.usefixtures("taciturn")
def test_speech_ends_where_the_library_ends_it(model: XttsModel, steps: list[Any]) -> None:
    streamed = speak(model)
    assert 3 < len(steps) < 0.9 * len(TEXT) * 0.06 / LATENT_S  # neither at once nor by its length
    torch.manual_seed(SEED)
    (whole,) = library_stream(model)
    np.testing.assert_allclose(streamed, whole.numpy(), atol=1e-4)


def test_the_first_chunk_leaves_long_before_the_generation_has_ended(model: XttsModel, steps: list[Any]) -> None:
    chunks = model.synthesize(piece())
    first = next(chunks)
    computed = len(steps)
    assert 0.04 <= first.size / RATE_HZ <= 0.25
    list(chunks)
    assert computed < 0.2 * len(steps)


def test_nothing_is_computed_before_it_is_asked_for(model: XttsModel, steps: list[Any]) -> None:
    chunks = model.synthesize(piece())
    assert not steps
    next(chunks)
    for _ in range(3):
        before = len(steps)
        next(chunks)
        assert len(steps) == before + adapter_model.LATENTS


def test_a_closed_stream_computes_no_further_latent_and_leaves_no_thread(model: XttsModel, steps: list[Any]) -> None:
    threads = set(threading.enumerate())
    chunks = model.synthesize(piece())
    next(chunks)
    computed = len(steps)
    chunks.close()  # type: ignore[attr-defined]  # a generator
    assert next(chunks, None) is None
    assert len(steps) == computed
    assert set(threading.enumerate()) == threads


def test_each_latent_is_decoded_once_with_its_neighbours_and_not_all_that_came_before(
    model: XttsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = model._model.hifigan_decoder.waveform_decoder
    frames: list[int] = []
    forward = network.forward

    def noted(x: torch.Tensor, g: torch.Tensor) -> Any:
        frames.append(x.shape[-1])
        return forward(x, g=g)

    monkeypatch.setattr(network, "forward", noted)
    samples = speak(model)
    assert max(frames) <= 8 * 4.4 + 2 * REACH_FRAMES
    assert sum(frames) <= samples.size / FRAME_SAMPLES + len(frames) * 2 * REACH_FRAMES


def test_streams_that_alternate_do_not_touch_each_other(model: XttsModel) -> None:
    alone = [speak(model, text) for text in (TEXT, OTHER)]
    streams = [model.synthesize(piece(text)) for text in (TEXT, OTHER)]
    turns = list(zip_longest(*streams))
    for number, expected in enumerate(alone):
        together = np.concatenate([turn[number] for turn in turns if turn[number] is not None])
        np.testing.assert_array_equal(together, expected)


def test_the_library_s_own_streams_would_speak_each_other_s_text(
    model: XttsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._model.gpt, "max_gen_mel_tokens", 40)

    torch.manual_seed(SEED)
    alone = torch.cat(list(library_stream(model, TEXT, chunk=10)))
    torch.manual_seed(SEED)
    first = library_stream(model, TEXT, chunk=10)
    parts = [next(first)]
    state = torch.get_rng_state()
    next(library_stream(model, OTHER, chunk=10))
    torch.set_rng_state(state)  # so it is not the random numbers that differ
    mixed = torch.cat(list(chain(parts, first)))
    assert mixed.shape == alone.shape
    assert (mixed - alone).abs().max() > 0.01


def test_streams_of_several_threads_are_what_each_is_alone(model: XttsModel) -> None:
    texts = [TEXT, OTHER, "one", "a third that is somewhat longer than the others, and comes last."]
    alone = {text: speak(model, text) for text in texts}
    together: dict[str, Samples] = {}
    threads = [threading.Thread(target=lambda text=text: together.update({text: speak(model, text)})) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(together[text], alone[text], atol=1e-5)
