"""Between the ABI's messages and the model manager's own types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from voiceplane_common.errors import invalid
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.models.status import ModelSpec, Residency
from voiceplane_worker.packs.metadata import PackSource

if TYPE_CHECKING:
    from voiceplane_worker.models.status import ModelStatus


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
    )


def model_spec(request: tts_pb2.LoadModelRequest) -> ModelSpec:
    """What a LoadModel asks for.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, naming the field.
    """
    if not request.model_id:
        raise invalid("model_id", "model_id is empty: name the model to load")
    source = None
    if request.source.uri:
        source = PackSource(
            uri=request.source.uri, sha256=request.source.sha256, credentials=request.source.credentials
        )
    elif request.source.sha256 or request.source.credentials:
        raise invalid("source.uri", "source.uri is empty, and the rest of source is not: give it, or leave source out")
    return ModelSpec(
        model_id=request.model_id,
        source=source,
        family=request.family,
        residency=_residency(request.residency),
        ttl_ms=request.ttl_ms,
        min_residency_ms=request.min_residency_ms,
        warm_up_text=request.warm_up_text,
        base_model_id=request.base_model_id,
        options=dict(request.options),
        voices=tuple(Voice(name=voice.name, language=voice.language) for voice in request.voices),
        languages=tuple(request.languages),
        declaration=request.declaration,
    )


def _residency(value: tts_pb2.Residency.ValueType) -> Residency:
    if value == tts_pb2.RESIDENCY_UNSPECIFIED:
        return Residency.ON_DEMAND
    return Residency[tts_pb2.Residency.Name(value).removeprefix("RESIDENCY_")]


def _timestamp(unix_seconds: float | None) -> Timestamp | None:
    if unix_seconds is None:
        return None
    timestamp = Timestamp()
    timestamp.FromMicroseconds(int(unix_seconds * 1_000_000))
    return timestamp
