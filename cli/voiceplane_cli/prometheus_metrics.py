"""What a program tells Prometheus, read without one: sums of series, and percentiles of histograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from voiceplane_cli.output import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.samples import Sample


class PrometheusMetrics:
    """All series of a program at one moment."""

    def __init__(self, text: str) -> None:
        """Read them.

        Args:
            text: In the text format, https://prometheus.io/docs/instrumenting/exposition_formats/

        Raises:
            CliError: It is not in that format.
        """
        self._samples: dict[str, list[Sample]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self._samples.setdefault(sample.name, []).append(sample)
        except ValueError as error:
            message = f"the server's /metrics is not in Prometheus' text format: {error}; is it an orchestrator?"
            raise CliError(message) from error

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series that have these labels; 0 if there are none."""
        return sum(sample.value for sample in self._of(name, labels))

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sums of a metric for each value of a label, those that are not 0."""
        sums: dict[str, float] = {}
        for sample in self._of(name, {}):
            sums[sample.labels.get(label, "")] = sums.get(sample.labels.get(label, ""), 0.0) + sample.value
        return {value: total for value, total in sums.items() if total}

    def quantile(
        self, quantile: float, name: str, *, before: PrometheusMetrics | None = None, **labels: str
    ) -> float | None:
        """A quantile of a histogram, as Prometheus estimates it; None if nothing was measured.

        Args:
            quantile: 0 to 1.
            name: Without "_bucket".
            before: What was measured by then does not count.
            labels: Of the series.
        """
        buckets = self.buckets(name, labels)
        if before is not None:
            earlier = before.buckets(name, labels)
            buckets = {bound: count - earlier.get(bound, 0.0) for bound, count in buckets.items()}
        return _quantile(quantile, sorted(buckets.items()))

    def _of(self, name: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        return (sample for sample in self._samples.get(name, ()) if labels.items() <= sample.labels.items())

    def buckets(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        """A histogram: how much was at most each bound."""
        buckets: dict[float, float] = {}
        for sample in self._of(f"{name}_bucket", labels):
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
        return buckets


def _quantile(quantile: float, buckets: list[tuple[float, float]]) -> float | None:
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = quantile * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            share = (rank - below) / (count - below) if count > below else 1.0
            return low + (bound - low) * share
        low, below = bound, count
    return low
