"""What the operator tells Prometheus; docs/reference/metrics.md is made from it."""

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
        """Make them.

        Args:
            api_calls: Calls of the Kubernetes API so far.
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

        self.reconcile_seconds = seconds("reconcile", "How long one reconcile took.", ["kind"])
        self.reconcile_errors = count("reconcile_errors", "Reconciles that failed.", ["kind"])
        self.queue_depth = gauge("queue_depth", "Objects that wait to be reconciled.")
        self.queue_wait_seconds = seconds("queue_wait", "How long an object waited to be reconciled.", ["kind"])
        self.declared = gauge("declared", "Objects that are declared.", ["kind"])
        self.unready = gauge("unready", "Declared objects whose condition Ready is not True.", ["kind"])
        self.drift = count("drift", "Owned objects that someone else had changed.", ["kind"])
        self.workers = gauge("workers", "Workers that are watched.")
        self.workers_reachable = gauge("workers_reachable", "Workers that are watched and can be reached.")
        self.model_calls = count(
            "model_calls",
            "LoadModel and UnloadModel calls of workers; call: load or unload; outcome: ok, or the error's reason.",
            ["call", "outcome"],
        )
        self.model_call_seconds = seconds("model_call", "How long a worker took to answer such a call.", ["call"])
        registry.register(_ApiCalls(api_calls))


class _ApiCalls(Collector):
    """A counter that is kept elsewhere."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Its one sample."""
        yield CounterMetricFamily(
            "voiceplane_operator_api_calls", "Calls of the Kubernetes API.", value=float(self._calls())
        )
