"""The mock family: its audio is a pure function of the text, and it fails and waits as its options say."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import mock
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.adapters.mock import CHUNK_SAMPLES, MockAdapter, MockModel, tones

from tests.support.packs import mock_pack

TEXT = "Every letter has a tone."


def load(**options: Any) -> MockModel:
    return MockAdapter().load(mock_pack(**options), device="cpu", threads=1)


def piece(text: str = TEXT, *, voice: str = "tone", speed: float = 1.0) -> Piece:
    return Piece(text=text, voice=voice, language="en-US", speed=speed)


def test_chunks_joined_are_the_tones_of_the_text() -> None:
    chunks = list(load().synthesize(piece()))
    assert {chunk.size for chunk in chunks[:-1]} == {CHUNK_SAMPLES}
    np.testing.assert_array_equal(np.concatenate(chunks), tones(TEXT))


def test_audio_never_repeats_so_that_a_lost_sample_shows() -> None:
    audio = tones(TEXT)
    starts = {audio[start : start + 64].tobytes() for start in range(audio.size - 64)}
    assert len(starts) == audio.size - 64


def test_tones_have_no_jumps() -> None:
    assert np.abs(np.diff(tones(TEXT))).max() < 0.5 * mock.AMPLITUDE


def test_voices_differ_by_an_octave() -> None:
    np.testing.assert_array_equal(np.concatenate(list(load().synthesize(piece(voice="high")))), tones(TEXT, octave=1))


def test_each_chunk_takes_the_configured_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    model = load(chunk_compute_ms=30, load_ms=500)
    assert waits == [0.5]
    chunks = list(model.synthesize(piece()))
    assert waits[1:] == [0.03] * len(chunks)


def test_it_fails_at_the_word_and_not_before() -> None:
    chunks = load(fail_on="tone").synthesize(piece())
    spoken: list[Any] = []
    with pytest.raises(RuntimeError, match="fail_on"):
        spoken.extend(chunks)
    chunks = load(fail_on="tone").synthesize(piece())
    before = TEXT.index("tone") * tones(TEXT).size // len(TEXT)
    taken = [next(chunks).size for _ in range(before // CHUNK_SAMPLES)]
    assert sum(taken) > 0.9 * before - CHUNK_SAMPLES
    with pytest.raises(RuntimeError, match="fail_on"):
        next(chunks)


def test_a_load_fails_when_told() -> None:
    with pytest.raises(VoiceplaneError, match="fail_load") as caught:
        load(fail_load=True)
    assert caught.value.reason == "PACK_INVALID"


@pytest.mark.parametrize(("key", "value"), [("chunk_compute_ms", "soon"), ("colour", "red")])
def test_a_wrong_option_is_named(key: str, value: str) -> None:
    with pytest.raises(VoiceplaneError, match=key) as caught:
        load(**{key: value})
    assert caught.value.field == f"options.{key}"


def test_memory_is_what_the_pack_says() -> None:
    assert load(memory_bytes=123).memory_bytes == 123
