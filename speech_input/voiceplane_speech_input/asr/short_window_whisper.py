"""Whisper with short encoder windows: it encodes the speech, and not the padding up to 30 s.

Whisper was trained on windows of 30 s, so faster-whisper pads each window to 30 s. The encoder is most of the work on a
CPU, and takes as long for a word as for half a minute. But it has no fixed length: a window that ends some seconds
after the speech gives the same transcript in a third of the time (docs/explanation/performance.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from faster_whisper import WhisperModel

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from numpy.typing import NDArray

FRAMES_PER_SECOND = 100
MIN_FRAMES = 10 * FRAMES_PER_SECOND
"""With shorter windows, Whisper loses words."""
MARGIN_FRAMES = 3 * FRAMES_PER_SECOND
"""Padding after the speech, so that the model recognizes its end."""


class ShortWindowWhisper(WhisperModel):  # type: ignore[misc]  # it ships no types
    """A WhisperModel that encodes no more than necessary."""

    def encode(self, features: NDArray[np.float32]) -> StorageView:
        """See WhisperModel; features have the shape (mel bands, frames) or (batch, mel bands, frames)."""
        return super().encode(np.ascontiguousarray(features[..., : frames_to_encode(features)]))


def frames_to_encode(features: NDArray[np.float32]) -> int:
    """How many frames of a window to encode: those with speech and some padding after them; an even number."""
    total: int = features.shape[-1]
    filled = np.flatnonzero(features.reshape(-1, total).any(axis=0))
    spoken = int(filled[-1]) + 1 if filled.size else 0
    wanted = max(MIN_FRAMES, spoken + MARGIN_FRAMES)
    return min(total, wanted + wanted % 2)  # the encoder's convolution has stride 2
