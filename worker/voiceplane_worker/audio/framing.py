"""Samples into frames of 20 ms: 960 samples of s16le."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_common.frames import FRAME_SAMPLES

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

FULL_SCALE = 32767


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame.

    Attributes:
        pcm: 1,920 bytes, s16le mono at 48 kHz.
        valid_samples: Samples of it that are speech; the rest is padding.
    """

    pcm: bytes
    valid_samples: int


class Blocks:
    """Cuts a stream of samples into blocks of one frame."""

    def __init__(self) -> None:
        self._rest: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> list[Samples]:
        """Take samples, shape (n,); returns whole blocks, shape (960,)."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = joined[whole:]
        return list(joined[:whole].reshape(-1, FRAME_SAMPLES))

    def finish(self) -> tuple[Samples, int] | None:
        """The last block, padded with silence, and how much of it is valid; None if nothing is left."""
        valid = len(self._rest)
        return (np.pad(self._rest, (0, FRAME_SAMPLES - valid)), valid) if valid else None


def encode(samples: Samples) -> bytes:
    """Samples within -1 to 1 as s16le; beyond that they saturate."""
    scaled = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE)
    return scaled.astype("<i2").tobytes()
