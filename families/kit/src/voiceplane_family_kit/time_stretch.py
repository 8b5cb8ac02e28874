"""Faster and slower speech at the same pitch, for families whose models know one speed only.

WSOLA (waveform similarity overlap-add): short pieces of the input follow one another at another distance, each taken
from where it continues the one before best. It works on a stream, and looks ahead less than 0.1 s.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator

    from voiceplane_worker.adapters.base import Samples

# Half of a piece: two pieces overlap by it. Longer than a period of the lowest voice, shorter than a sound of speech.
HOP_S = 0.02
# How far a piece may be moved to fit: a period of a low voice to both sides.
REACH_S = 0.01
# Beyond this, models with a speed of their own round each sound's length up, and fall behind.
FASTEST_MODEL_SPEED = 2.0


def at_speed(chunks: Generator[Samples], *, speed: float, sample_rate_hz: int) -> Generator[Samples]:
    """Yield a stream's samples at another speed; it is closed when this is.

    Args:
        chunks: Mono, shape (n,), float32.
        speed: 2.0 is twice as fast; 1.0 gives the chunks themselves.
        sample_rate_hz: Their rate.
    """
    with contextlib.closing(chunks):
        if speed == 1.0:
            yield from chunks
            return
        stretcher = _Stretcher(speed=speed, sample_rate_hz=sample_rate_hz)
        for chunk in chunks:
            if (samples := stretcher.push(chunk)).size:
                yield samples
        if (samples := stretcher.finish()).size:
            yield samples


def split_speed(speed: float) -> tuple[float, float]:
    """The part of a speed that the model itself speaks at, and the rest, which is left to at_speed."""
    by_model = min(speed, FASTEST_MODEL_SPEED)
    return by_model, speed / by_model


class _Stretcher:
    """The state of one stream."""

    def __init__(self, *, speed: float, sample_rate_hz: int) -> None:
        self._speed = speed
        self._hop = round(HOP_S * sample_rate_hz)
        self._reach = round(REACH_S * sample_rate_hz)
        rise = np.sin(np.linspace(0.0, np.pi / 2, self._hop, endpoint=False, dtype=np.float32)) ** 2
        self._rise, self._fall = rise, 1.0 - rise
        self._input = np.zeros(0, dtype=np.float32)
        self._start = 0  # where in the stream the kept input begins
        self._received = 0
        self._given = 0
        self._pieces = 0
        self._after: Samples | None = None  # what followed the latest piece in the input

    def push(self, samples: Samples) -> Samples:
        """The output that an input makes possible."""
        self._received += samples.size
        self._input = np.concatenate([self._input, samples])
        return self._advance()

    def finish(self) -> Samples:
        """The rest: together, the input's length over the speed."""
        total = round(self._received / self._speed)
        silence = np.zeros(2 * (self._hop + self._reach) + round(self._hop * self._speed), dtype=np.float32)
        parts = []
        while self._given < total:
            self._input = np.concatenate([self._input, silence])
            before = self._given
            parts.append(self._advance()[: total - before])
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def _advance(self) -> Samples:
        parts = []
        while (piece := self._next_piece()) is not None:
            head, tail = piece[: self._hop], piece[self._hop :]
            parts.append(head if self._after is None else head * self._rise + self._after * self._fall)
            self._after = tail
            self._pieces += 1
        output = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
        self._given += output.size
        return output

    def _next_piece(self) -> Samples | None:
        """The next piece of two hops; None if its input has not come."""
        wanted = round(self._pieces * self._hop * self._speed)
        first = max(wanted - self._reach, self._start)
        if wanted + self._reach + 2 * self._hop > self._start + self._input.size:
            return None
        self._input, self._start = self._input[first - self._start :], first
        if self._after is None:
            return self._input[: 2 * self._hop]
        places = wanted + self._reach - first + 1
        region = self._input[: places + self._hop - 1]
        energy = np.convolve(region**2, np.ones(self._hop, dtype=np.float32), mode="valid")
        fit = np.correlate(region, self._after, mode="valid") / np.sqrt(energy + 1e-6)
        place = int(np.argmax(fit))
        return self._input[place : place + 2 * self._hop]
