"""Whisper that encodes what was said, and not the silence up to 30 s.

Whisper was trained on windows of 30 s, so faster-whisper fills each up with nothing, and the encoder, most of the work
on a CPU, takes as long for a word as for half a minute. The encoder has no fixed length: a window that ends some
seconds after the speech is understood as well, in a third of the time (docs/explanation/performance.md).
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
"""Below that, words are lost: the encoder has never seen so little."""
MARGIN_FRAMES = 3 * FRAMES_PER_SECOND
"""Of nothing after the speech, so that it is seen to have ended."""


class ShortWindowWhisper(WhisperModel):  # type: ignore[misc]  # it ships no types
    """A WhisperModel that encodes no more than it must."""

    def encode(self, features: NDArray[np.float32]) -> StorageView:
        """See WhisperModel; features have the shape (mel bands, frames) or (batch, mel bands, frames)."""
        return super().encode(np.ascontiguousarray(features[..., : frames_to_encode(features)]))


def frames_to_encode(features: NDArray[np.float32]) -> int:
    """How many frames of a window to encode: those with speech, and some of the nothing after them; an even number."""
    total: int = features.shape[-1]
    filled = np.flatnonzero(features.reshape(-1, total).any(axis=0))
    spoken = int(filled[-1]) + 1 if filled.size else 0
    wanted = max(MIN_FRAMES, spoken + MARGIN_FRAMES)
    return min(total, wanted + wanted % 2)  # the encoder takes them by twos
