"""Speech at another speed: as long as that asks for, at the same pitch, without clicks, and as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_family_kit.time_stretch import at_speed

if TYPE_CHECKING:
    from collections.abc import Generator

    from voiceplane_worker.adapters.base import Samples

RATE_HZ = 24_000
SPEEDS = [0.25, 0.5, 0.8, 1.3, 2.0, 4.0]


def vowel(seconds: float = 3.0) -> Samples:
    time = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * 150 * time) + 0.1 * np.sin(2 * np.pi * 450 * time)).astype(np.float32)


def chunks(samples: Samples, size: int = 1_920) -> Generator[Samples]:
    for start in range(0, samples.size, size):
        yield samples[start : start + size]


def stretch(samples: Samples, *, speed: float, size: int = 1_920) -> Samples:
    return np.concatenate(list(at_speed(chunks(samples, size), speed=speed, sample_rate_hz=RATE_HZ)))


def pitch_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * RATE_HZ / samples.size)


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_length_changes_and_the_pitch_does_not(speed: float) -> None:
    stretched = stretch(vowel(), speed=speed)
    assert stretched.size == round(vowel().size / speed)
    assert pitch_hz(stretched) == pytest.approx(150, abs=1)
    assert np.std(stretched) == pytest.approx(np.std(vowel()), rel=0.02)
    assert stretched.dtype == np.float32


@pytest.mark.parametrize("speed", SPEEDS)
def test_pieces_join_without_a_click(speed: float) -> None:
    steepest = np.abs(np.diff(vowel())).max()
    assert np.abs(np.diff(stretch(vowel(), speed=speed))).max() < 1.05 * steepest


@pytest.mark.parametrize("size", [100, 1_919, 20_000])
def test_how_the_stream_is_cut_changes_nothing(size: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, RATE_HZ).astype(np.float32)
    np.testing.assert_array_equal(stretch(noise, speed=1.3, size=size), stretch(noise, speed=1.3))


def test_at_its_own_speed_the_chunks_pass_untouched() -> None:
    given = list(chunks(vowel()))
    got = list(at_speed(iter_of(given), speed=1.0, sample_rate_hz=RATE_HZ))
    assert all(one is other for one, other in zip(got, given, strict=True))


def test_output_follows_its_input_at_once() -> None:
    source = chunks(vowel())
    stretched = at_speed(source, speed=2.0, sample_rate_hz=RATE_HZ)
    next(stretched)
    left = sum(chunk.size for chunk in source)
    assert vowel().size - left == 1_920


def test_closing_closes_the_source() -> None:
    source = chunks(vowel())
    stretched = at_speed(source, speed=2.0, sample_rate_hz=RATE_HZ)
    next(stretched)
    stretched.close()
    assert next(source, None) is None


@pytest.mark.parametrize("samples", [0, 1, 300])
def test_very_little_sound_is_survived(samples: int) -> None:
    stretched = list(at_speed(chunks(vowel()[:samples]), speed=0.5, sample_rate_hz=RATE_HZ))
    assert sum(chunk.size for chunk in stretched) == 2 * samples


def iter_of(given: list[Samples]) -> Generator[Samples]:
    yield from given
