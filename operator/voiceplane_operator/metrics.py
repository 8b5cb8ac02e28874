"""The operator's Prometheus metrics; docs/reference/metrics.md is generated from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from voiceplane_common.metric_buckets import LATENCY_BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RECONCILE_BUCKETS_S = (0.001, *LATENCY_BUCKETS_S)


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self, *, api_calls: Callable[[], int] = lambda: 0) -> None:
        """Register them.

        Args:
            api_calls: Returns the number of calls of the Kubernetes API so far.
        """
        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"voiceplane_operator_{name}", text, labels, registry=registry)

        def count(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"voiceplane_operator_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, labels: Sequence[str] = ()) -> Histogram:
            return Histogram(
                f"voiceplane_operator_{name}_seconds", text, labels, buckets=RECONCILE_BUCKETS_S, registry=registry
            )

        self.reconcile_seconds = seconds("reconcile", "Duration of one reconcile.", ["kind"])
        self.reconcile_errors = count("reconcile_errors", "Reconciles that failed.", ["kind"])
        self.queue_depth = gauge("queue_depth", "Objects that wait for a reconcile.")
        self.queue_wait_seconds = seconds("queue_wait", "Time that an object waited for its reconcile.", ["kind"])
        self.declared = gauge("declared", "Declared objects.", ["kind"])
        self.unready = gauge("unready", "Declared objects whose condition Ready is not True.", ["kind"])
        self.drift = count(
            "drift", "Owned objects that another client had changed, and that were applied again.", ["kind"]
        )
        self.workers = gauge("workers", "Watched workers.")
        self.workers_reachable = gauge("workers_reachable", "Watched workers that are connected.")
        self.model_calls = count(
            "model_calls",
            "LoadModel and UnloadModel calls; call: load or unload; outcome: ok, or the error's reason.",
            ["call", "outcome"],
        )
        self.model_call_seconds = seconds("model_call", "Duration of a LoadModel or UnloadModel call.", ["call"])
        registry.register(_ApiCalls(api_calls))


class _ApiCalls(Collector):
    """A counter whose value another object keeps."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Its only sample."""
        yield CounterMetricFamily(
            "voiceplane_operator_api_calls", "Calls of the Kubernetes API.", value=float(self._calls())
        )
