"""The user's audio: decoding, resampling, and the memory of the last seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.audio.decoder import CLIENT_SAMPLE_RATES_HZ, UserAudioDecoder
from voiceplane_speech_input.audio.ring_buffer import AudioRingBuffer


def tone(rate_hz: int, frequency_hz: float, seconds: float) -> bytes:
    at_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return (np.sin(2 * np.pi * frequency_hz * at_s) * 16384).astype("<i2").tobytes()


@pytest.mark.parametrize("rate_hz", CLIENT_SAMPLE_RATES_HZ)
def test_every_rate_becomes_16_khz_without_changing_pitch_or_level(rate_hz: int) -> None:
    decoder = UserAudioDecoder(sample_rate_hz=rate_hz)
    pcm = tone(rate_hz, 440.0, 2.0)
    samples = np.concatenate([decoder.decode(pcm[at : at + 1001]) for at in range(0, len(pcm), 1001)])
    assert samples.dtype == np.float32
    assert 32_000 - samples.size < 0.025 * 16_000
    middle = samples[8_000:24_000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) * 16_000 / middle.size == pytest.approx(440, abs=1)
    assert np.abs(middle).max() == pytest.approx(0.5, rel=0.02)


def test_what_16_khz_cannot_hold_does_not_fold_into_speech() -> None:
    samples = UserAudioDecoder(sample_rate_hz=48_000).decode(tone(48_000, 15_000.0, 1.0))
    assert np.abs(samples[4_000:-4_000]).max() < 0.5 * 10 ** (-60 / 20)


@pytest.mark.parametrize("rate_hz", [0, 8_000, 11_025, 96_000, -48_000])
def test_an_unsupported_rate_is_refused_by_name(rate_hz: int) -> None:
    with pytest.raises(VoiceplaneError, match="48000") as caught:
        UserAudioDecoder(sample_rate_hz=rate_hz)
    assert caught.value.field == "sample_rate_hz"


def test_a_piece_may_end_within_a_sample() -> None:
    pcm = tone(16_000, 440.0, 0.1)
    decoder = UserAudioDecoder(sample_rate_hz=16_000)
    pieces = [decoder.decode(pcm[at : at + 3]) for at in range(0, len(pcm), 3)]
    expected = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


@given(
    sizes=st.lists(st.integers(0, 400), max_size=20),
    start=st.integers(-50, 4000),
    length=st.integers(-50, 4000),
)
def test_recent_audio_is_the_stream_s_own_by_sample_number(sizes: list[int], start: int, length: int) -> None:
    recent = AudioRingBuffer(capacity_ms=20)  # 320 samples
    stream = np.arange(sum(sizes), dtype=np.float32)
    at = 0
    for size in sizes:
        recent.append(stream[at : at + size])
        at += size
    assert recent.end_sample == stream.size
    assert recent.start_sample == max(0, stream.size - 320)
    read = recent.read(start, start + length)
    expected = stream[max(start, recent.start_sample) : max(start + length, 0)]
    np.testing.assert_array_equal(read, expected)


def test_reading_gives_a_copy() -> None:
    recent = AudioRingBuffer(capacity_ms=10)
    recent.append(np.ones(160, np.float32))
    recent.read(0, 160)[:] = 0
    assert recent.read(0, 160).min() == 1
