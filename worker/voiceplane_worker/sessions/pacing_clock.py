"""When the next frame may leave: a small burst for a fast first sound, then real time with a bounded lead.

The lead is what a listener has received and not yet played. It absorbs jitter on the way, and it is bounded, so that a
PAUSE means silence now and not seconds later. The rule is the generic cell rate algorithm (ITU-T I.371, annex A): one
frame every 20 ms, with a tolerance of `burst_frames`.
"""

from __future__ import annotations

from voiceplane_common.frames import FRAME_SECONDS


class PacingClock:
    """The pace of one stream. Times are monotonic seconds, given by the caller."""

    def __init__(self, *, burst_frames: int) -> None:
        self._tolerance = (burst_frames - 1) * FRAME_SECONDS
        self._played_out_at = float("-inf")

    def due(self) -> float:
        """When the next frame may leave; in the past if it may leave now."""
        return self._played_out_at - self._tolerance

    def played_out_at(self) -> float:
        """When a listener who plays at once will have played all that has left."""
        return self._played_out_at

    def leave(self, now: float) -> None:
        """Account for a frame that leaves now."""
        self._played_out_at = max(self._played_out_at, now) + FRAME_SECONDS

    def shift(self, seconds: float) -> None:
        """The listener did not play for that long (a PAUSE), so its lead is as it was."""
        self._played_out_at += seconds

    def reset(self) -> None:
        """The listener has dropped what it had (a STOP): the next frame begins a new burst."""
        self._played_out_at = float("-inf")
