"""Pacing: a small burst for a fast first sound, then real time with a bounded lead.

The lead is the audio that a listener has received and not yet played. It absorbs network jitter. It is bounded, so that
a PAUSE is silent at once and not seconds later. The rule is the generic cell rate algorithm (GCRA, ITU-T I.371, annex
A), a leaky bucket: one frame every 20 ms, with a tolerance of `burst_frames`.
"""

from __future__ import annotations

from voiceplane_common.frames import FRAME_SECONDS


class PacingClock:
    """The pacing of one stream. Times are monotonic seconds, given by the caller."""

    def __init__(self, *, burst_frames: int) -> None:
        self._tolerance = (burst_frames - 1) * FRAME_SECONDS
        self._played_out_at = float("-inf")

    def due(self) -> float:
        """When the next frame may be sent; in the past if it may be sent now."""
        return self._played_out_at - self._tolerance

    def played_out_at(self) -> float:
        """When a listener without a jitter buffer has played all frames that were sent."""
        return self._played_out_at

    def leave(self, now: float) -> None:
        """Account for a frame that is sent now."""
        self._played_out_at = max(self._played_out_at, now) + FRAME_SECONDS

    def shift(self, seconds: float) -> None:
        """Account for a PAUSE of that length: the listener keeps its lead."""
        self._played_out_at += seconds

    def reset(self) -> None:
        """Account for a STOP: the listener has dropped its frames, and the next frame starts a new burst."""
        self._played_out_at = float("-inf")
