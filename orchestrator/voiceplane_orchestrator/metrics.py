"""The orchestrator's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0)


class Metrics:
    """One registry for each orchestrator, so that tests can run several in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def seconds(name: str, help_text: str) -> Histogram:
            return Histogram(
                f"voiceplane_orchestrator_{name}_seconds", help_text, buckets=LATENCY_BUCKETS, registry=registry
            )

        def count(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"voiceplane_orchestrator_{name}", help_text, labels, registry=registry)

        self.sessions = Gauge("voiceplane_orchestrator_sessions", "Open sessions.", ["kind"], registry=registry)
        self.turns = count("turns", "Turns of users that were answered.")
        self.barge_ins = count("barge_ins", "Times that a user paused the agent.", ("outcome",))
        self.reroutes = count("reroutes", "Utterances that went on with another worker.")
        self.errors = count("errors", "Errors told to clients.", ("reason",))
        self.barge_in = seconds("barge_in", "From the user's first sound to the order to be silent.")
        self.asr = seconds("asr", "From a turn's end to its transcript.")
        self.reply = seconds("reply_first_token", "From a turn's transcript to the reply's first text.")
        self.first_audio = seconds(
            "first_audio", "From the end of the user's speech, or from the text, to first audio."
        )
