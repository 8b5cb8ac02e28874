"""The orchestrator's Prometheus metrics; docs/reference/metrics.md is generated from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from voiceplane_common.logs import get_logger
from voiceplane_common.metric_buckets import JITTER_BUCKETS_S, LATENCY_BUCKETS_S, BoundedLabelValues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = get_logger("metrics")

WORKER_STATES = ("ready", "full", "barred", "draining", "not_ready", "lost")


class Metrics:
    """One registry for each orchestrator, so that tests can run several in one process.

    Attributes:
        model: Bounds the label `model`, since operators may name models as they like.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.model = BoundedLabelValues()

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"voiceplane_orchestrator_{name}", text, labels, registry=registry)

        def count(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"voiceplane_orchestrator_{name}", text, labels, registry=registry)

        def seconds(
            name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = LATENCY_BUCKETS_S
        ) -> Histogram:
            return Histogram(
                f"voiceplane_orchestrator_{name}_seconds", text, labels, buckets=buckets, registry=registry
            )

        self.sessions = gauge("sessions", "Open sessions; kind: talk, speak, file or room.", ["kind"])
        self.sessions_limit = gauge("sessions_limit", "Sessions that may be open at once.")
        self.sessions_started = count("sessions_started", "Sessions that were opened.", ["kind"])
        self.sessions_refused = count("sessions_refused", "Sessions that were refused.", ["reason"])
        self.workers = gauge("workers", f"Known workers; state: {', '.join(WORKER_STATES)}.", ["state"])
        self.turns = count("turns", "Turns of users that were answered.")
        self.turns_discarded = count(
            "turns_discarded", "Speech that was no turn; reason: backchannel or no_words.", ["reason"]
        )
        self.barge_ins = count(
            "barge_ins", "Barge-ins that paused the agent; outcome: resumed or stopped.", ["outcome"]
        )
        self.barge_in = seconds("barge_in", "From the user's first sound to the PAUSE.")
        self.endpointing = seconds("endpointing", "From the end of the user's speech to the end of the turn.")
        self.asr = seconds("asr", "From a turn's end to its transcript.")
        self.asr_queue = gauge("asr_queue", "Recognitions that wait for a thread.")
        self.reply = seconds("reply_first_token", "From a turn's transcript to the reply's first text.")
        self.reply_whole = seconds("reply", "From a turn's transcript to the end of the reply's text.")
        self.synthesis = seconds(
            "synthesis", "From the first text of an utterance to its first audio, as workers serve it.", ["model"]
        )
        self.first_audio = seconds(
            "first_audio",
            "From the end of the user's speech (after: speech), or from the text (after: text), to first audio.",
            ["after"],
        )
        self.frame_jitter = seconds(
            "frame_jitter",
            "By how much the time between two sent frames exceeded 20 ms.",
            buckets=JITTER_BUCKETS_S,
        )
        self.utterances = count("utterances", "Utterances; result: complete, empty, interrupted or failed.", ["result"])
        self.reroutes = count("reroutes", "Utterances that another worker continued.", ["reason"])
        self.fallbacks = count("fallbacks", "Sessions that began with another model while the requested one loaded.")
        self.no_worker = count("no_worker", "Times that an utterance had to wait for a worker.")
        self.errors = count("errors", "Errors sent to clients.", ["reason"])
        # Prometheus sees a first increment only if the series was 0 before.
        for result in ("complete", "empty", "interrupted", "failed"):
            self.utterances.labels(result)
        for outcome in ("resumed", "stopped"):
            self.barge_ins.labels(outcome)
        for reason in ("TOO_MANY_SESSIONS", "SHUTTING_DOWN"):
            self.sessions_refused.labels(reason)

    def error_told(self, reason: str) -> None:
        """Count an error that a client gets, and log it with its session."""
        self.errors.labels(reason).inc()
        _log.info("error_told", reason=reason)

    def follow_workers(self, states: Callable[[], Sequence[str]]) -> None:
        """Count the workers by state whenever the metrics are read.

        Args:
            states: One of WORKER_STATES for each known worker.
        """
        for state in WORKER_STATES:
            self.workers.labels(state).set_function(lambda state=state: states().count(state))  # type: ignore[misc]  # mypy cannot infer a lambda's default
