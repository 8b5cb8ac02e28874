"""CosyVoice 2 speaks token by token: the first sound is early, nothing is computed ahead, a STOP ends the compute."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from voiceplane_family_cosyvoice2 import library, streaming, turns
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_family_cosyvoice2.streaming import boundaries
from voiceplane_worker.adapters.base import Piece

from families.cosyvoice2.tests.tiny import AHEAD_TOKENS, CHUNK_TOKENS, FRAME_SAMPLES, TOKEN_SAMPLES, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voiceplane_family_cosyvoice2.model import CosyVoice2Model
    from voiceplane_worker.adapters.base import Samples

TEXT = "The train to the coast leaves at noon from platform nine."
FIRST_TOKENS, SEED = 10, 11
KEPT_SAMPLES = streaming.KEPT_FRAMES * FRAME_SAMPLES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosyVoice2Model]:
    pack = pack_of_tiny(tmp_path_factory.mktemp("cosyvoice2") / "tiny", seed=str(SEED))
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what the language model has computed, step by step."""
    sizes: list[int] = []
    step = library.Qwen2Encoder.forward_one_step

    def noted(self: Any, xs: torch.Tensor, masks: torch.Tensor, cache: Any = None) -> Any:
        sizes.append(xs.shape[1])
        return step(self, xs, masks, cache)

    monkeypatch.setattr(library.Qwen2Encoder, "forward_one_step", noted)
    return sizes


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The new mel frames of each part, as the vocoder gets them."""
    parts: list[torch.Tensor] = []
    push = streaming._Vocoder.push

    def noted(self: Any, frames: torch.Tensor, *, final: bool) -> Any:
        parts.append(frames)
        return push(self, frames, final=final)

    monkeypatch.setattr(streaming._Vocoder, "push", noted)
    return parts


def piece(text: str = TEXT, voice: str = "first") -> Piece:
    return Piece(text=text, voice=voice, language="en")


def speak(model: CosyVoice2Model, text: str = TEXT) -> Samples:
    return np.concatenate(list(model.synthesize(piece(text))))


def tokens_of(model: CosyVoice2Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The speech tokens of the text."""
    tokens: list[int] = []
    advance = streaming.Speech._next

    def noted(self: Any, generator: Any) -> bool:
        going_on = advance(self, generator)
        tokens[:] = self._tokens
        return going_on

    monkeypatch.setattr(streaming.Speech, "_next", noted)
    speak(model)
    return tokens


def test_parts_at_most_double_and_end_where_the_flows_chunks_do() -> None:
    assert list(itertools.islice(boundaries(first=10, chunk=25, before=0), 6)) == [10, 30, 50, 75, 100, 125]
    for first, before in itertools.product((5, 10, 25, 60), (0, 1, 12, 87, 250)):
        ends = list(itertools.islice(boundaries(first=first, chunk=25, before=before), 12))
        sizes = [end - start for start, end in itertools.pairwise([0, *ends])]
        assert all(0 < size <= 37 for size in sizes[1:])
        assert all((before + end) % 25 == 0 for end in ends[4:])


def test_the_first_sound_comes_before_most_of_the_speech_is_computed(model: CosyVoice2Model, steps: list[int]) -> None:
    chunks = model.synthesize(piece())
    assert next(chunks).size == TOKEN_SAMPLES
    assert len(steps) == FIRST_TOKENS + AHEAD_TOKENS
    rest = list(chunks)
    assert len(steps) > 5 * (FIRST_TOKENS + AHEAD_TOKENS)
    assert (1 + len(rest)) * TOKEN_SAMPLES == len(steps) * TOKEN_SAMPLES


def test_later_requests_begin_as_early_as_the_first(model: CosyVoice2Model, steps: list[int]) -> None:
    for _ in range(4):
        steps.clear()
        chunks = model.synthesize(piece())
        next(chunks)
        assert len(steps) == FIRST_TOKENS + AHEAD_TOKENS
        chunks.close()  # type: ignore[attr-defined]  # a generator


def test_a_step_is_computed_for_each_chunk_and_none_while_none_is_asked_for(
    model: CosyVoice2Model, steps: list[int]
) -> None:
    chunks = model.synthesize(piece(TEXT * 2))
    seen = []
    for _ in chunks:
        seen.append(len(steps))
        assert len(steps) == seen[-1]
    gaps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(gaps) <= CHUNK_TOKENS
    assert sorted(gaps)[len(gaps) // 2] == 1


def test_a_closed_stream_computes_no_further_step_and_leaves_no_thread(
    model: CosyVoice2Model, steps: list[int], rendered: list[torch.Tensor]
) -> None:
    before = set(threading.enumerate())
    chunks = model.synthesize(piece())
    next(chunks)
    computed = len(steps), len(rendered)
    chunks.close()  # type: ignore[attr-defined]
    assert (len(steps), len(rendered)) == computed
    assert set(threading.enumerate()) == before
    assert not turns._device.locked()


def test_frames_are_those_that_the_flow_makes_of_the_whole(
    model: CosyVoice2Model, rendered: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tokens_of(model, monkeypatch)
    streamed = torch.cat(rendered, dim=2)
    assert len(rendered) > 3
    parts, prompt = model._parts, model._prompts["first"]
    assert parts is not None
    with torch.inference_mode():
        whole, _ = parts.flow.inference(
            token=torch.tensor([tokens], dtype=torch.int32),
            token_len=torch.tensor([len(tokens)]),
            prompt_token=prompt.tokens,
            prompt_token_len=torch.tensor([prompt.tokens.shape[1]]),
            prompt_feat=prompt.frames,
            prompt_feat_len=torch.tensor([prompt.frames.shape[1]]),
            embedding=prompt.embedding,
            streaming=True,
            finalize=True,
        )
    assert streamed.shape == whole.shape
    from_a_chunk_on = 2 * 2 * CHUNK_TOKENS  # the parts before ended where no chunk of the flow does
    torch.testing.assert_close(streamed[:, :, from_a_chunk_on:], whole[:, :, from_a_chunk_on:], atol=1e-4, rtol=0.0)
    assert (streamed[:, :, :from_a_chunk_on] - whole[:, :, :from_a_chunk_on]).abs().max() > 1e-4


def test_parts_go_on_in_the_sound_of_those_before() -> None:
    def inference(speech_feat: torch.Tensor, cache_source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        source = speech_feat[:, :1].repeat_interleave(FRAME_SAMPLES, dim=2)
        kept = cache_source.shape[2]
        torch.testing.assert_close(source[:, :, :kept], cache_source)
        return source[:, 0], source

    hift = SimpleNamespace(inference=inference)
    parts: Any = SimpleNamespace(hift=hift, frame_samples=FRAME_SAMPLES, device=torch.device("cpu"))
    frames = torch.randn(1, 80, 90)
    vocoder = streaming._Vocoder(parts)
    pushed = [vocoder.push(frames[:, :, start : start + 30], final=start == 60) for start in (0, 30, 60)]
    assert [part.size for part in pushed] == [22 * FRAME_SAMPLES, 30 * FRAME_SAMPLES, 38 * FRAME_SAMPLES]
    np.testing.assert_allclose(np.concatenate(pushed), frames[0, 0].repeat_interleave(FRAME_SAMPLES), atol=1e-6)


def test_what_is_heard_again_is_blended(model: CosyVoice2Model) -> None:
    parts = model._parts
    assert parts is not None
    frames = torch.randn(1, 80, 60, generator=torch.Generator().manual_seed(1))
    vocoder = streaming._Vocoder(parts)
    with torch.inference_mode():
        first = vocoder.push(frames[:, :, :30], final=False)
        held = vocoder._held.copy()
        second = vocoder.push(frames[:, :, 30:], final=True)
    assert first.size + second.size == 60 * FRAME_SAMPLES
    assert held.size == KEPT_SAMPLES
    assert second[0] == pytest.approx(held[0], abs=1e-6)
    assert not np.allclose(second[KEPT_SAMPLES // 2 : KEPT_SAMPLES], held[KEPT_SAMPLES // 2 :])


def test_tokens_are_those_that_the_library_draws_in_one_go(
    model: CosyVoice2Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_any_sound = FIRST_TOKENS + AHEAD_TOKENS  # which draws random numbers, too
    ours = tokens_of(model, monkeypatch)[:before_any_sound]
    step = library.llm_module.Qwen2Encoder.forward_one_step
    monkeypatch.setattr(library.Qwen2Encoder, "forward_one_step", step)
    parts = model._parts
    assert parts is not None
    text = torch.tensor([parts.tokenizer.encode(TEXT)])
    nothing = torch.zeros(1, 0, dtype=torch.int32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        tokens = parts.llm.inference(
            text=text,
            text_len=torch.tensor([text.shape[1]]),
            prompt_text=nothing,
            prompt_text_len=torch.tensor([0]),
            prompt_speech_token=nothing,
            prompt_speech_token_len=torch.tensor([0]),
            embedding=torch.zeros(1, 192),
        )
        assert list(itertools.islice(tokens, before_any_sound)) == ours
    assert len(set(ours)) > 3


def test_an_end_that_comes_too_early_is_not_drawn(tmp_path: Path) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", longest_ms_per_character="250")
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    assert model._parts is not None
    llm = model._parts.llm
    llm.llm_decoder.bias[llm.speech_token_size] = 1e3  # it wants to end at once, and always; the library gives up then
    least = 2 * len("Hello there.")  # two tokens of speech for each of the text
    assert speak(model, "Hello there.").size == least * TOKEN_SAMPLES
    model.close()


def test_the_device_is_free_between_two_chunks_and_streams_do_not_mix(model: CosyVoice2Model) -> None:
    alone = speak(model)
    streams = [model.synthesize(piece()) for _ in range(2)]
    pairs = []
    for pair in zip(*streams, strict=True):
        assert not turns._device.locked()
        pairs.append(pair)
    for stream in range(2):
        np.testing.assert_array_equal(np.concatenate([pair[stream] for pair in pairs]), alone)


def test_streams_of_several_threads_sound_as_each_alone(model: CosyVoice2Model) -> None:
    texts = [TEXT, "And another one.", "A third one."]
    alone = [speak(model, text) for text in texts]
    together: dict[str, Samples] = {}
    threads = [threading.Thread(target=lambda text=text: together.update({text: speak(model, text)})) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text, samples in zip(texts, alone, strict=True):
        np.testing.assert_array_equal(together[text], samples)


def test_the_first_part_may_be_as_long_as_the_library_has_it(tmp_path: Path, steps: list[int]) -> None:
    pack = pack_of_tiny(tmp_path / "tiny", first_chunk_tokens="25")
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    next(model.synthesize(piece()))
    assert len(steps) == CHUNK_TOKENS + AHEAD_TOKENS
    model.close()
