"""What the metrics of all programs have in common: buckets that fit speech, and labels whose values stay few."""

from __future__ import annotations

LATENCY_BUCKETS_S = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)
"""What a listener waits for."""

JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 5.0)
"""How late a frame is; a listener has 80 ms in hand."""

WORK_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""What nobody hears: loads and unloads."""

RATIO_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)
"""Compute time over audio time."""

OTHER = "other"
"""The label value of all that came after the first few."""


class BoundedLabelValues:
    """Keeps the values of a label few: whoever may choose names must not be able to fill Prometheus' memory."""

    def __init__(self, most: int = 32) -> None:
        """Know none yet.

        Args:
            most: Values that keep their names; each later one is OTHER.
        """
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The label value for a value."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value
