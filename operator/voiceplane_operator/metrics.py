"""What the operator tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "voiceplane_operator_reconcile_seconds",
            "How long one reconcile took.",
            ["kind"],
            registry=self.registry,
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.reconcile_errors = Counter(
            "voiceplane_operator_reconcile_errors", "Reconciles that failed.", ["kind"], registry=self.registry
        )
        self.queue_depth = Gauge(
            "voiceplane_operator_queue_depth", "Objects that wait to be reconciled.", registry=self.registry
        )
        self.drift = Counter(
            "voiceplane_operator_drift",
            "Owned objects that someone else had changed.",
            ["kind"],
            registry=self.registry,
        )
        self.api_calls = Gauge(
            "voiceplane_operator_api_calls", "Calls of the Kubernetes API since the start.", registry=self.registry
        )
        self.workers = Gauge("voiceplane_operator_workers", "Workers that are watched.", registry=self.registry)
        self.model_calls = Counter(
            "voiceplane_operator_model_calls",
            "LoadModel and UnloadModel calls of workers, by their outcome.",
            ["call", "outcome"],
            registry=self.registry,
        )
