"""Converts LoadModel requests, from a call or from the models file, to ModelSpecs."""

from __future__ import annotations

from voiceplane_common.errors import invalid
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_spec import ModelSpec, Residency


def model_spec(request: tts_pb2.LoadModelRequest) -> ModelSpec:
    """The model that a LoadModel request describes.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, naming the field.
    """
    if not request.model_id:
        raise invalid("model_id", "model_id is empty: name the model to load")
    source = None
    if request.source.uri:
        source = PackSource(
            uri=request.source.uri,
            sha256=request.source.sha256,
            credentials=request.source.credentials,
            include=tuple(request.source.include),
            exclude=tuple(request.source.exclude),
        )
    elif request.source.ByteSize():
        raise invalid(
            "source.uri", "source.uri is empty, but source has other fields: set source.uri, or leave source out"
        )
    return ModelSpec(
        model_id=request.model_id,
        source=source,
        family=request.family,
        residency=_residency(request.residency),
        ttl_ms=request.ttl_ms,
        min_residency_ms=request.min_residency_ms,
        load_timeout_ms=request.load_timeout_ms,
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
