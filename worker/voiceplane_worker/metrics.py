"""The worker's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
RTF_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


class Metrics:
    """One registry for each worker, so that tests can run several in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge("voiceplane_worker_sessions", "Open sessions.", registry=registry)
        self.sessions_refused = Counter(
            "voiceplane_worker_sessions_refused", "Sessions that were refused.", ["reason"], registry=registry
        )
        self.utterances_under_way = Gauge(
            "voiceplane_worker_utterances_under_way", "Utterances that are being synthesized.", registry=registry
        )
        self.first_audio_seconds = Histogram(
            "voiceplane_worker_first_audio_seconds",
            "From an utterance's first speakable text to its first frame.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.rtf = Histogram(
            "voiceplane_worker_rtf",
            "Compute time over audio time of an utterance.",
            buckets=RTF_BUCKETS,
            registry=registry,
        )
        self.audio_seconds = Counter(
            "voiceplane_worker_audio_seconds", "Seconds of audio synthesized.", registry=registry
        )
        self.compute_seconds = Counter(
            "voiceplane_worker_compute_seconds", "Seconds of inference and audio processing.", registry=registry
        )
        self.underruns = Counter(
            "voiceplane_worker_underruns", "Times that a listener ran dry in mid-utterance.", registry=registry
        )
        self.controls = Counter(
            "voiceplane_worker_controls", "PAUSE, RESUME, STOP and RELOAD calls.", ["action"], registry=registry
        )
        self.resident_models = Gauge("voiceplane_worker_resident_models", "Resident models.", registry=registry)
        self.registered = Gauge(
            "voiceplane_worker_registered", "1 while the Redis holds our lease, else 0.", registry=registry
        )
        self.registration_failures = Counter(
            "voiceplane_worker_registration_failures",
            "Heartbeats that have not renewed our lease.",
            ["reason"],
            registry=registry,
        )
