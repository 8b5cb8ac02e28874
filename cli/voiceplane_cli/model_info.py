"""Models and workers as an orchestrator or a worker reports them; also the `--json` output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from voiceplane_client import state_name
from voiceplane_proto.v1 import tts_pb2

_BEST_FIRST = ("resident", "draining", "warming", "loading", "fetching", "failed", "absent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A model on one worker.

    Attributes:
        worker: Its address.
        state: absent, fetching, loading, warming, resident, draining or failed.
        availability: "now", "loadable", or "never": this worker can't load it, as it is.
        reason: Why, for programs.
        message: Why, for users.
        references: Sessions that hold it.
        memory_bytes: 0 if not known.
        fetched_bytes: Bytes of its fetch so far.
        fetch_bytes: Bytes of its fetch in all; 0 if not known.
        fetch_bytes_per_s: The rate of its fetch; 0 if not known.
        prefetched: Whether its pack is on the worker's machine, though it is not loaded.
        last_used: ISO 8601; None if not known.
        expires_at: When it would be evicted if unused; None if never or not known.
    """

    worker: str
    state: str
    availability: str = ""
    reason: str = ""
    message: str = ""
    references: int = 0
    memory_bytes: int = 0
    fetched_bytes: int = 0
    fetch_bytes: int = 0
    fetch_bytes_per_s: int = 0
    prefetched: bool = False
    last_used: str | None = None
    expires_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model, wherever it is.

    Attributes:
        model_id: Its id.
        family: Such as "piper".
        is_default: The model of a session that names none.
        voices: Their names.
        workers: Its state on each worker.
    """

    model_id: str
    family: str
    is_default: bool = False
    voices: tuple[str, ...] = ()
    workers: tuple[Placement, ...] = field(default=())

    @property
    def best(self) -> Placement:
        """Where it is nearest to speaking."""
        return min(
            self.workers, key=lambda each: _BEST_FIRST.index(each.state), default=Placement(worker="", state="absent")
        )

    @property
    def state(self) -> str:
        """Its best state."""
        return self.best.state


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker and its load.

    Attributes:
        address: "host:port" or "unix:/path".
        worker_id: Differs between processes.
        ready: Takes sessions.
        draining: Finishes its sessions and takes no more.
        sessions: Now.
        max_sessions: At once.
        queue_depth: Utterances that wait or are being synthesized.
        first_audio_p50_ms: Median; 0 before the first.
        rtf_p50: Compute time over audio time, median; 0 before the first.
        device_memory_bytes: Of its GPU; 0 if not known.
        device_memory_used_bytes: What of it is in use.
    """

    address: str
    worker_id: str
    ready: bool
    draining: bool
    sessions: int
    max_sessions: int
    queue_depth: int
    first_audio_p50_ms: float
    rtf_p50: float
    device_memory_bytes: int = 0
    device_memory_used_bytes: int = 0

    @property
    def state(self) -> str:
        """One word."""
        if self.draining:
            return "draining"
        return "ready" if self.ready else "not ready"


def model_from_json(value: Mapping[str, Any]) -> ModelInfo:
    """One of GET /v1/models."""
    return ModelInfo(
        model_id=value["id"],
        family=value.get("family", ""),
        is_default=bool(value.get("is_default")),
        voices=tuple(voice["name"] for voice in value.get("voices", ())),
        workers=tuple(
            Placement(
                worker=each["worker"],
                state=each["state"],
                availability=each.get("availability", ""),
                reason=each.get("reason", ""),
                message=each.get("message", ""),
                references=each.get("references", 0),
                memory_bytes=each.get("memory_bytes", 0),
                fetched_bytes=each.get("fetched_bytes", 0),
                fetch_bytes=each.get("fetch_bytes", 0),
                fetch_bytes_per_s=each.get("fetch_bytes_per_s", 0),
                prefetched=each.get("prefetched", False),
                last_used=each.get("last_used"),
                expires_at=each.get("expires_at"),
            )
            for each in value.get("workers", ())
        ),
    )


def worker_from_json(value: Mapping[str, Any]) -> WorkerInfo:
    """One of GET /v1/workers."""
    return WorkerInfo(
        address=value["address"],
        worker_id=value.get("worker_id", ""),
        ready=bool(value.get("ready")),
        draining=bool(value.get("draining")),
        sessions=value.get("sessions", 0),
        max_sessions=value.get("max_sessions", 0),
        queue_depth=value.get("queue_depth", 0),
        first_audio_p50_ms=value.get("first_audio_p50_ms", 0.0),
        rtf_p50=value.get("rtf_p50", 0.0),
        device_memory_bytes=value.get("device_memory_bytes", 0),
        device_memory_used_bytes=value.get("device_memory_used_bytes", 0),
    )


def model_from_proto(status: tts_pb2.ModelStatus, *, worker: str) -> ModelInfo:
    """A model as one worker tells it."""
    place = Placement(
        worker=worker,
        state=state_name(status.state),
        availability=_availability(status),
        reason=status.reason,
        message=status.message,
        references=status.references,
        memory_bytes=status.memory_bytes,
        fetched_bytes=status.fetched_bytes,
        fetch_bytes=status.fetch_bytes,
        fetch_bytes_per_s=status.fetch_bytes_per_s,
        prefetched=status.prefetched,
        last_used=_iso(status.last_used) if status.HasField("last_used") else None,
        expires_at=_iso(status.expires_at) if status.HasField("expires_at") else None,
    )
    return ModelInfo(
        model_id=status.model_id,
        family=status.family,
        is_default=status.is_default,
        voices=tuple(voice.name for voice in status.voices),
        workers=(place,),
    )


def worker_from_proto(state: tts_pb2.WorkerState, *, address: str) -> WorkerInfo:
    """A worker as it tells itself."""
    return WorkerInfo(
        address=address,
        worker_id=state.worker_id,
        ready=state.ready,
        draining=state.draining,
        sessions=state.load.sessions,
        max_sessions=state.load.max_sessions,
        queue_depth=state.load.queue_depth,
        first_audio_p50_ms=round(state.load.first_audio_p50_ms, 3),
        rtf_p50=round(state.load.rtf_p50, 4),
        device_memory_bytes=state.device_memory.total_bytes,
        device_memory_used_bytes=state.device_memory.used_bytes,
    )


def _availability(status: tts_pb2.ModelStatus) -> str:
    if status.unloadable:
        return "never"
    return "now" if status.state == tts_pb2.MODEL_STATE_RESIDENT else "loadable"


def _iso(moment: Timestamp) -> str:
    return moment.ToJsonString()
