"""A ring buffer of the latest audio of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples


class AudioRingBuffer:
    """The latest seconds of a stream, addressed by sample positions in the whole stream."""

    def __init__(self, *, capacity_ms: int) -> None:
        self._ring = np.zeros(capacity_ms * USER_SAMPLE_RATE_HZ // 1000, np.float32)
        self._end_sample = 0

    @property
    def start_sample(self) -> int:
        """The oldest sample that is kept."""
        return max(0, self._end_sample - self._ring.size)

    @property
    def end_sample(self) -> int:
        """How many samples were appended so far."""
        return self._end_sample

    def append(self, samples: Samples) -> None:
        """Append the next samples of the stream; they overwrite the oldest."""
        kept = samples[-self._ring.size :]
        first = (self._end_sample + samples.size - kept.size) % self._ring.size
        until_wrap = min(kept.size, self._ring.size - first)
        self._ring[first : first + until_wrap] = kept[:until_wrap]
        self._ring[: kept.size - until_wrap] = kept[until_wrap:]
        self._end_sample += samples.size

    def read(self, start_sample: int, end_sample: int) -> Samples:
        """A copy of the part of a range that is kept."""
        start = min(max(start_sample, self.start_sample), self._end_sample)
        end = min(max(end_sample, start), self._end_sample)
        return self._ring[np.arange(start, end) % self._ring.size]
