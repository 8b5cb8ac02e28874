"""What many workers mean for those who watch them: WatchState, EndpointSlices, Redis."""

from __future__ import annotations

import json
from dataclasses import dataclass

from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.server.watch_state import MIN_INTERVAL_S

MODELS_TOLD = 10
CHANGES_PER_UTTERANCE = 3  # it begins, its first frame leaves, it ends
CHANGES_PER_SESSION = 2
ENDPOINTS_PER_SLICE = 100  # Kubernetes' default
# Its pod is added, becomes ready, is about to end, and is removed.
SLICE_CHANGES_PER_POD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the traffic depends on.

    Attributes:
        workers: In all pools.
        pools: Each has a Service, and so EndpointSlices of its own.
        orchestrators: Each watches every worker.
        sessions: Open at once, on each worker.
        session_s: Mean length of one.
        talk_share: How much of it the agent speaks.
        utterance_s: Mean length of an utterance.
        heartbeat_ms: `redis.heartbeat_ms`.
        resync_s: How often an orchestrator reads all leases.
        record_bytes: A worker's record in Redis with its address.
    """

    workers: int = 1000
    pools: int = 20
    orchestrators: int = 10
    sessions: float = 10.4
    session_s: float = 120.0
    talk_share: float = 0.4
    utterance_s: float = 4.0
    heartbeat_ms: int = 500
    resync_s: float = 1.0
    record_bytes: int = 160

    @property
    def streams(self) -> int:
        """WatchState streams: one of each orchestrator to each worker, and the operator's."""
        return self.workers * (self.orchestrators + 1)

    @property
    def snapshots_per_worker_s(self) -> float:
        """To each of its watchers; what falls within 20 ms is one, so it is at most 50."""
        utterances = self.sessions * self.talk_share / self.utterance_s
        changes = CHANGES_PER_UTTERANCE * utterances + CHANGES_PER_SESSION * self.sessions / self.session_s
        return changes / (1 + changes * MIN_INTERVAL_S)

    @property
    def snapshots_per_orchestrator_s(self) -> float:
        """From all workers."""
        return self.workers * self.snapshots_per_worker_s

    @property
    def slice_events_of_a_restart(self) -> int:
        """That each watcher of EndpointSlices gets while every worker is replaced, if none are taken together."""
        return SLICE_CHANGES_PER_POD * self.workers

    @property
    def slice_bytes(self) -> int:
        """Of one event: the whole slice, of which one endpoint has changed."""
        return min(ENDPOINTS_PER_SLICE, max(1, self.workers // self.pools)) * len(json.dumps(endpoint(0)))

    @property
    def heartbeats_s(self) -> float:
        """Calls of Redis, one script each."""
        return self.workers * 1000 / self.heartbeat_ms

    @property
    def registry_reads_bytes_s(self) -> float:
        """What Redis sends to all orchestrators."""
        return self.orchestrators / self.resync_s * self.workers * self.record_bytes


def endpoint(number: int) -> dict[str, object]:
    """A worker as an EndpointSlice has it."""
    return {
        "addresses": [f"10.0.{number // 250}.{number % 250}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{number:04}",
        "targetRef": {
            "kind": "Pod",
            "name": f"piper-7d9c5b8f64-{number:05}",
            "namespace": "speech",
            "uid": "0d1c6a52-6c0e-4a94-8f5a-0a2f6f1f1c11",
        },
        "zone": "zone-a",
    }


def snapshot(*, models: int = MODELS_TOLD) -> tts_pb2.WorkerState:
    """What a worker tells each time."""
    return tts_pb2.WorkerState(
        worker_id="piper-7d9c5b8f64-x2x9k",
        revision=123_456,
        ready=True,
        models=[
            tts_pb2.ModelStatus(
                model_id=f"model-{number}",
                family="piper",
                state=tts_pb2.MODEL_STATE_RESIDENT,
                voices=[tts_pb2.Voice(name="joe", language="en-US")],
                languages=["en-US"],
                memory_bytes=90_000_000,
            )
            for number in range(models)
        ],
        load=tts_pb2.Load(sessions=10, max_sessions=16, queue_depth=2, first_audio_p50_ms=41.0, rtf_p50=0.08),
    )
