"""Spark speaks while it writes: what is streamed is what the whole decodes to, and a STOP ends the writing."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from flashtts.audio.detokenizer.spark_detokenizer import SparkDeTokenizerModel
from voiceplane_family_spark import model as model_module
from voiceplane_family_spark.adapter import SparkAdapter
from voiceplane_family_spark.codec import (
    FIRST_HOP_TOKENS,
    NOTHING,
    Codec,
    CodecStream,
    NotStreamableError,
    reach_of,
)
from voiceplane_family_spark.language_model import Writing
from voiceplane_worker.adapters.base import Piece

from families.spark.tests.tiny import CODEC, RATE_HZ, SEMANTIC, SPEAKER_TOKENS, TOKEN_SAMPLES, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_spark.model import SparkModel
    from voiceplane_worker.adapters.base import Samples

TEXT = "The train to the coast leaves at noon from platform nine, and it is never late."
LOOK_AHEAD_TOKENS = 15


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkModel]:
    pack = pack_of_tiny(tmp_path_factory.mktemp("spark") / "tiny", seed="5")
    model = SparkAdapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places of the words that are written, as they come."""
    places: list[int] = []
    draw = Writing.draw

    def noted(self: Writing, words: Any) -> int:
        places.append(draw(self, words))
        return places[-1]

    monkeypatch.setattr(Writing, "draw", noted)
    return places


def codec_of(model: SparkModel) -> Codec:
    assert model._parts
    return model._parts.codec


def tokens(number: int, *, seed: int = 1) -> list[int]:
    drawn: list[int] = torch.randint(SEMANTIC, (number,), generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


def piece(text: str = TEXT, *, speed: float = 1.0) -> Piece:
    return Piece(text=text, voice="first", language="en", speed=speed)


def streamed(model: SparkModel, spoken: list[int], *, look_ahead_tokens: int) -> Samples:
    stream = CodecStream(codec_of(model), model._spoken["first"].speaker, look_ahead_tokens=look_ahead_tokens)
    with torch.inference_mode():
        return np.concatenate([*(stream.push(token) for token in spoken), stream.finish()])


def whole(model: SparkModel, spoken: list[int]) -> Samples:
    with torch.inference_mode():
        return codec_of(model).decode(spoken, model._spoken["first"].speaker)


@pytest.mark.parametrize(("layers", "reach"), [(3, 40), (12, 67)])
def test_a_token_is_heard_as_far_as_the_codec_reaches_and_no_farther(layers: int, reach: int) -> None:
    """With a value that is no number, which nothing that sees it can hide; 12 layers are the published codec's."""
    config = CODEC | {"prenet": CODEC["prenet"] | {"vocos_num_layers": layers}}
    decoder = SparkDeTokenizerModel(config).eval()
    codec, at = Codec(decoder, config, device=torch.device("cpu")), 100
    spoken = [1] * at + [0] + [1] * at
    with torch.inference_mode():
        decoder.quantizer.codebook.weight[0] = torch.nan
        samples = codec.decode(spoken, codec.speaker([0] * SPEAKER_TOKENS)).reshape(-1, TOKEN_SAMPLES)
    assert np.flatnonzero(np.isnan(samples).any(axis=1)).tolist() == list(range(at - reach, at + reach + 1))
    assert codec.reach == reach


def test_windows_that_see_as_far_as_the_codec_reaches_give_what_the_whole_gives(model: SparkModel) -> None:
    spoken = tokens(300)
    exact = streamed(model, spoken, look_ahead_tokens=codec_of(model).reach + 1)
    np.testing.assert_allclose(exact, whole(model, spoken), atol=1e-5)
    assert np.abs(exact).max() > 0.1


def test_windows_that_see_less_are_near_it_and_of_the_same_length(model: SparkModel) -> None:
    spoken = tokens(300)
    reference = whole(model, spoken)
    errors = {}
    for look_ahead in (1, 5, LOOK_AHEAD_TOKENS, 25):
        samples = streamed(model, spoken, look_ahead_tokens=look_ahead)
        assert samples.size == reference.size
        errors[look_ahead] = float(np.sqrt(np.mean((samples - reference) ** 2) / np.mean(reference**2)))
    assert errors[LOOK_AHEAD_TOKENS] < 0.1
    assert errors[1] > errors[5] > errors[LOOK_AHEAD_TOKENS] > errors[25]


def test_windows_without_any_context_would_be_another_sound(model: SparkModel) -> None:
    spoken = tokens(100)
    alone = np.concatenate([whole(model, spoken[start : start + 10]) for start in range(0, 100, 10)])
    error = alone - whole(model, spoken)
    assert np.sqrt(np.mean(error**2)) > 0.3 * np.sqrt(np.mean(whole(model, spoken) ** 2))


def test_two_windows_that_differ_are_faded_into_each_other(model: SparkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = itertools.count(start=1)

    def flat(_: Codec, tokens: list[int], __: torch.Tensor) -> Samples:
        return np.full(len(tokens) * TOKEN_SAMPLES, next(levels), dtype=np.float32)

    monkeypatch.setattr(Codec, "decode", flat)
    samples = streamed(model, tokens(60), look_ahead_tokens=LOOK_AHEAD_TOKENS)
    assert samples[0] == 1.0
    assert samples[-1] > 3.0
    assert 0.0 <= np.diff(samples).min() <= np.diff(samples).max() < 0.01


@pytest.mark.parametrize("number", [1, 6, 20, 21, 22, 40])
def test_speech_of_any_length_is_given_to_its_end(model: SparkModel, number: int) -> None:
    assert streamed(model, tokens(number), look_ahead_tokens=LOOK_AHEAD_TOKENS).size == number * TOKEN_SAMPLES


def test_a_codec_whose_windows_can_t_be_cut_is_refused() -> None:
    with pytest.raises(NotStreamableError, match=r"sample_ratios is \[1, 2\]"):
        reach_of(CODEC | {"prenet": {"vocos_num_layers": 2, "sample_ratios": [1, 2]}})
    with pytest.raises(NotStreamableError, match="has 9 for the rate 2"):
        reach_of(CODEC | {"decoder": {"rates": [2], "kernel_sizes": [9]}})


def test_the_first_sound_leaves_when_21_tokens_are_written_and_then_one_is_written_for_each_chunk(
    model: SparkModel, written: list[int]
) -> None:
    chunks = model.synthesize(piece())
    first = next(chunks)
    assert len(written) == FIRST_HOP_TOKENS + LOOK_AHEAD_TOKENS
    assert 0.04 <= first.size / RATE_HZ <= 0.25
    sizes = []
    for number in range(1, 101):
        sizes.append(next(chunks).size)
        assert len(written) == FIRST_HOP_TOKENS + LOOK_AHEAD_TOKENS + number
    assert min(sizes) > 0
    assert sum(sizes) < 100 * TOKEN_SAMPLES  # what is behind it is waited for
    rest = list(chunks)
    assert len(written) * TOKEN_SAMPLES == first.size + sum(sizes) + sum(chunk.size for chunk in rest)


@pytest.mark.parametrize("taken", [1, 2, 30])
def test_a_closed_stream_writes_no_further_word_and_starts_no_thread(
    model: SparkModel, written: list[int], taken: int
) -> None:
    before = set(threading.enumerate())
    chunks = model.synthesize(piece())
    for _ in range(taken):
        next(chunks)
    said = len(written)
    chunks.close()  # type: ignore[attr-defined]  # a generator
    assert len(written) == said == FIRST_HOP_TOKENS + LOOK_AHEAD_TOKENS + taken - 1
    assert set(threading.enumerate()) == before
    assert not model_module._device.locked()


def test_a_listener_who_waits_lets_nothing_be_written(model: SparkModel, written: list[int]) -> None:
    first, second = model.synthesize(piece()), model.synthesize(piece("And another one."))
    next(first)
    said = len(written)
    spoken = sum(chunk.size for chunk in second)
    assert (len(written) - said) * TOKEN_SAMPLES == spoken
    assert next(first).size > 0
    assert len(written) == said + spoken // TOKEN_SAMPLES + 1
    first.close()  # type: ignore[attr-defined]


def test_streams_that_alternate_say_what_each_says_alone(model: SparkModel) -> None:
    texts = [TEXT, "And now something else, which is just as long as the other sentence is, or so."]
    alone = [np.concatenate(list(model.synthesize(piece(text)))) for text in texts]
    together = list(itertools.zip_longest(*(model.synthesize(piece(text)) for text in texts), fillvalue=NOTHING))
    for place, speech in enumerate(alone):
        np.testing.assert_array_equal(np.concatenate([chunks[place] for chunks in together]), speech)


def test_streams_of_several_threads_say_what_each_says_alone(model: SparkModel) -> None:
    texts = [f"This is what number {number} has to say to you." for number in ("one", "two", "three")]
    alone = {text: np.concatenate(list(model.synthesize(piece(text)))) for text in texts}
    said: dict[str, Samples] = {}
    threads = [
        threading.Thread(
            target=lambda text=text: said.update({text: np.concatenate(list(model.synthesize(piece(text))))})
        )
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_array_equal(said[text], alone[text])


def test_faster_speech_is_streamed_too(model: SparkModel, written: list[int]) -> None:
    chunks = model.synthesize(piece(speed=1.5))
    next(chunks)
    assert len(written) < 0.2 * 240
    chunks.close()  # type: ignore[attr-defined]
