"""Performances that were never spoken, for tests of what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from voiceplane_cli.comparison.compare import ModelResult
from voiceplane_cli.comparison.measurements import loudness, samples_of
from voiceplane_cli.comparison.recordings import Recording
from voiceplane_common.frames import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME_MS = 20.0


def tone(*, seconds: float, hz: float = 997.0, amplitude: float = 0.5) -> bytes:
    """A sine as mono s16le PCM at 48 kHz."""
    at = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.round(amplitude * 32767 * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()


def recording(*, first_audio_ms: float = 40.0, seconds: float = 1.0, compute_ms: float | None = 100.0) -> Recording:
    """A tone whose frames came at the pace of speech."""
    frames = round(seconds * 1000 / FRAME_MS)
    return Recording(
        voice="joe",
        pcm=tone(seconds=seconds),
        arrivals_ms=tuple(first_audio_ms + FRAME_MS * number for number in range(frames)),
        compute_ms=compute_ms,
    )


def result(model_id: str, *, firsts_ms: Sequence[float] = (40.0, 60.0, 50.0), error: str = "") -> ModelResult:
    """A model that was loaded, and has spoken so often."""
    recordings = [recording(first_audio_ms=each) for each in firsts_ms]
    result = ModelResult(model_id=model_id, family="piper", memory_bytes=63_000_000, error=error)
    if recordings:
        result.load_ms = 800.0
        result.first = recording(first_audio_ms=90.0)
        result.recordings = recordings
        result.sound = loudness(samples_of(recordings[0].pcm))
    return result
