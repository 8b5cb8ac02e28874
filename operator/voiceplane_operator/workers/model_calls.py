"""Which LoadModel and UnloadModel calls a worker needs, from its desired and its reported models. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.declarations import is_ours
from voiceplane_operator.workers.families import can_load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from voiceplane_operator.workers.families import Families
    from voiceplane_operator.workers.retry import RetryState


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCall:
    """Declare or load a model."""

    request: tts_pb2.LoadModelRequest

    @property
    def model_id(self) -> str:
        """The model."""
        return self.request.model_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadCall:
    """Unload a model that no VoiceModel declares any more."""

    model_id: str


ModelCall = LoadCall | UnloadCall


def due_calls(
    desired: Mapping[str, tts_pb2.LoadModelRequest],
    reported: Mapping[str, tts_pb2.ModelStatus],
    *,
    families: Families,
    retries: Mapping[str, RetryState],
    unknown_models: Collection[str] = (),
    now: float,
) -> Iterator[ModelCall]:
    """The calls to make now. A LoRA comes after the other models: the worker has to know its base.

    Args:
        desired: What the worker must have, by model id.
        reported: What it reports, by model id.
        families: The families that it can load; no call is made for a model that it cannot load.
        retries: What has failed on it, by model id.
        unknown_models: Ids that this operator has not declared, and that are not unloaded yet.
        now: Monotonic seconds.
    """
    for model_id, request in sorted(desired.items(), key=lambda item: bool(item[1].base_model_id)):
        if not can_load(families, request.family, lora=bool(request.base_model_id)):
            continue
        status = reported.get(model_id)
        retry = retries.get(model_id)
        if retry and retry.delays(request.declaration, now=now):
            continue
        if status is None or _differs(status, request):
            yield LoadCall(request=request)
    for model_id, status in reported.items():
        kept = status.is_default or model_id in desired or model_id in unknown_models
        retry = retries.get(model_id)
        if retry and retry.delays("", now=now):
            continue
        if is_ours(status.declaration) and not kept and status.state != tts_pb2.MODEL_STATE_DRAINING:
            yield UnloadCall(model_id=model_id)


def serves_declared(status: tts_pb2.ModelStatus) -> bool:
    """Whether the content that was declared last is resident, rather than only older content."""
    return status.state == tts_pb2.MODEL_STATE_RESIDENT and status.reason not in {"Reloading", "ReloadFailed"}


def has_failed(status: tts_pb2.ModelStatus) -> bool:
    """Whether the content that was declared last failed to load; older content may still be resident."""
    return status.state == tts_pb2.MODEL_STATE_FAILED or status.reason == "ReloadFailed"


def _differs(status: tts_pb2.ModelStatus, request: tts_pb2.LoadModelRequest) -> bool:
    if status.declaration != request.declaration:
        return True
    if has_failed(status):
        return not request.declare_only
    return status.state == tts_pb2.MODEL_STATE_DRAINING and status.reason == "UnloadRequested"
