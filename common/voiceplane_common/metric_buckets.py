"""Shared by the metrics of all programs: histogram buckets for speech, and labels of bounded cardinality."""

from __future__ import annotations

LATENCY_BUCKETS_S = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)
"""Latencies that a listener perceives."""

JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Lateness of a frame; a listener has 80 ms buffered."""

WORK_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Background work: loads and unloads."""

RATIO_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)
"""Compute time over audio time."""

OTHER = "other"
"""The label value of all values beyond the limit."""


class BoundedLabelValues:
    """Bounds the cardinality of a label, since clients that choose names must not fill Prometheus' memory."""

    def __init__(self, most: int = 32) -> None:
        """Start without values.

        Args:
            most: Limit of distinct values; each further one becomes OTHER.
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
