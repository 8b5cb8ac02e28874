"""The model manager's statuses as messages of the gRPC API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from voiceplane_proto.v1 import tts_pb2

if TYPE_CHECKING:
    from voiceplane_worker.adapters.family import Family
    from voiceplane_worker.residency.model_status import ModelStatus


def family_message(family: Family) -> tts_pb2.Family:
    """A family as a message."""
    traits, gpu = family.traits, family.gpu
    message = tts_pb2.Family(
        name=traits.name, streaming=traits.streaming, voice_cloning=traits.voice_cloning, lora=traits.lora
    )
    if family.uses_device:
        defaults = tts_pb2.GpuDefaults(
            compute_workers=gpu.compute_workers, max_sessions=gpu.max_sessions, warm_up_runs=gpu.warm_up_runs
        )
        message.gpu_defaults.CopyFrom(defaults)
    return message


def model_status(status: ModelStatus) -> tts_pb2.ModelStatus:
    """A model's status as a message."""
    return tts_pb2.ModelStatus(
        model_id=status.model_id,
        family=status.family,
        state=tts_pb2.ModelState.Value(f"MODEL_STATE_{status.state.name}"),
        reason=status.reason,
        message=status.message,
        references=status.references,
        residency=tts_pb2.Residency.Value(f"RESIDENCY_{status.residency.name}"),
        is_default=status.is_default,
        memory_bytes=status.memory_bytes,
        resident_since=_timestamp(status.resident_since),
        last_used=_timestamp(status.last_used),
        expires_at=_timestamp(status.expires_at),
        voices=[tts_pb2.Voice(name=voice.name, language=voice.language) for voice in status.voices],
        languages=status.languages,
        sha256=status.sha256,
        generation=status.generation,
        load_duration_ms=status.load_duration_ms,
        base_model_id=status.base_model_id,
        declaration=status.declaration,
        fetched_bytes=status.fetched_bytes,
        fetch_bytes=status.fetch_bytes,
        unloadable=status.unloadable,
        fetch_bytes_per_s=status.fetch_bytes_per_s,
        prefetched=status.prefetched,
    )


def _timestamp(unix_seconds: float | None) -> Timestamp | None:
    if unix_seconds is None:
        return None
    timestamp = Timestamp()
    timestamp.FromMicroseconds(int(unix_seconds * 1_000_000))
    return timestamp
