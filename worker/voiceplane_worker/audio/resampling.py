"""Streaming sample rate conversion (libsoxr, one state for each utterance)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

# HQ holds back 5 to 42 ms of a chunk, 28 ms of Piper's first one of 139 ms, which it gives with the next; VHQ and MQ
# hold as much, and LQ, which holds 1 ms, dulls what is above 7 kHz.
QUALITY = "HQ"


class StreamResampler:
    """Converts one stream from one rate to another; the output does not depend on how the input is chunked."""

    def __init__(self, *, from_hz: int, to_hz: int) -> None:
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, "float32", QUALITY)

    def process(self, samples: Samples) -> Samples:
        """Take samples, shape (n,); returns those that are ready, shape (m,), m near n * to / from, less the delay."""
        if self._stream is None:
            return samples
        ready: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32))
        return ready

    def flush(self) -> Samples:
        """The samples that were held back; the stream is over."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest: Samples = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest
