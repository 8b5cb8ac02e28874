"""The worker's Prometheus metrics; docs/reference/metrics.md is made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from voiceplane_common.metric_buckets import (
    JITTER_BUCKETS_S,
    LATENCY_BUCKETS_S,
    RATIO_BUCKETS,
    WORK_BUCKETS_S,
    BoundedLabelValues,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Metrics:
    """One registry for each worker, so that tests can run several in one process.

    Attributes:
        model: The label value of a model; bounded, since callers of LoadModel choose the names.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.model = BoundedLabelValues()

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"voiceplane_worker_{name}", text, labels, registry=registry)

        def count(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"voiceplane_worker_{name}", text, labels, registry=registry)

        def spread(name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
            return Histogram(f"voiceplane_worker_{name}", text, labels, buckets=buckets, registry=registry)

        self.ready = gauge("ready", "1 if new sessions are served, else 0.")
        self.sessions = gauge("sessions", "Open sessions.")
        self.sessions_limit = gauge("sessions_limit", "Sessions that may be open at once.")
        self.sessions_started = count("sessions_started", "Sessions opened.")
        self.sessions_refused = count("sessions_refused", "Sessions refused.", ["reason"])
        self.utterances_under_way = gauge("utterances_under_way", "Utterances that are being synthesized.")
        self.queue_steps = gauge("queue_steps", "Inference steps that are queued or running.")
        self.queue_wait_seconds = spread(
            "queue_wait_seconds", "How long an utterance's first inference step was queued.", LATENCY_BUCKETS_S
        )
        self.first_audio_seconds = spread(
            "first_audio_seconds",
            "From an utterance's first speakable text to its first frame.",
            LATENCY_BUCKETS_S,
            ["model"],
        )
        self.frame_jitter_seconds = spread(
            "frame_jitter_seconds",
            "How late a frame was sent, after an utterance's first burst.",
            JITTER_BUCKETS_S,
        )
        self.rtf_ratio = spread("rtf_ratio", "Compute time over audio time of an utterance.", RATIO_BUCKETS, ["model"])
        self.audio_seconds = count("audio_seconds", "Seconds of audio synthesized.")
        self.compute_seconds = count("compute_seconds", "Seconds of inference and audio processing.")
        self.underruns = count("underruns", "Underruns: a listener's buffer ran empty within an utterance.")
        self.synthesis_errors = count("synthesis_errors", "Streams that ended with an error.", ["reason"])
        self.controls = count("controls", "PAUSE, RESUME, STOP and RELOAD calls.", ["action"])
        self.resident_models = gauge("resident_models", "Resident models.")
        self.model_memory_bytes = gauge("model_memory_bytes", "Memory that a model holds.", ["model"])
        self.model_load_seconds = spread(
            "model_load_seconds",
            "How long a load took, its fetch and warm-up included; outcome: resident, failed or cancelled.",
            WORK_BUCKETS_S,
            ["model", "outcome"],
        )
        self.model_unload_seconds = spread(
            "model_unload_seconds", "How long freeing a model took.", WORK_BUCKETS_S, ["model"]
        )
        self.model_evictions = count(
            "model_evictions",
            "Evictions and unloads; reason: TtlExpired, MakingRoom, OutOfMemory, UnloadRequested or Closing.",
            ["model", "reason"],
        )
        self.models_lost = count("models_lost", "Models whose process crashed.", ["model"])
        self.device_memory_bytes = gauge(
            "device_memory_bytes", "Memory of the worker's GPU, as NVML measures it.", ["device"]
        )
        self.device_memory_used_bytes = gauge(
            "device_memory_used_bytes", "What of it is in use, by this and by other processes.", ["device"]
        )
        self.models_file_valid = gauge("models_file_valid", "1 if worker.models_file could be read, else 0.")
        self.registered = gauge("registered", "1 while this worker holds its lease in Redis, else 0.")
        self.registration_failures = count(
            "registration_failures", "Heartbeats that failed to renew the lease.", ["reason"]
        )

    def set_model_memory(self, held: Mapping[str, int]) -> None:
        """Set the memory of each model, in bytes; models that are not in `held` lose their series."""
        sums: dict[str, int] = {}
        for model_id, size in held.items():
            label = self.model(model_id)
            sums[label] = sums.get(label, 0) + size
        self.model_memory_bytes.clear()
        for label, size in sums.items():
            self.model_memory_bytes.labels(model=label).set(size)
