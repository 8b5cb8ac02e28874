"""What one worker has to be asked for, from what it is to have and what it says it has. Pure but for the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.declarations import is_ours

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from voiceplane_common.errors import VoiceplaneError

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAction:
    """Ask for a model."""

    request: tts_pb2.LoadModelRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadAction:
    """Let a model go that no VoiceModel declares any more."""

    model_id: str


Action = LoadAction | UnloadAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """A call that has failed on a worker.

    Attributes:
        declaration: What was to be loaded; empty if the model was to be unloaded.
        error: What LoadModel refused with; None if the load itself failed, which the worker's own state tells.
        attempts: Times that it was asked for.
        retry_at: Monotonic seconds before which it is not asked for again.
    """

    declaration: str
    error: VoiceplaneError | None
    attempts: int
    retry_at: float


def set_back(before: Setback | None, declaration: str, error: VoiceplaneError | None, *, now: float) -> Setback:
    """A failure after another one; a new declaration begins anew."""
    attempts = before.attempts + 1 if before and before.declaration == declaration else 1
    delay_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (attempts - 1))
    return Setback(declaration=declaration, error=error, attempts=attempts, retry_at=now + delay_s)


def actions(
    wanted: Mapping[str, tts_pb2.LoadModelRequest],
    reported: Mapping[str, tts_pb2.ModelStatus],
    *,
    families: Collection[str],
    setbacks: Mapping[str, Setback],
    strangers: Collection[str] = (),
    now: float,
) -> Iterator[Action]:
    """What to ask a worker for now; a LoRA after the models that it may be attached to, which the worker has to know.

    Args:
        wanted: What it is to have, by model id.
        reported: What it says, by model id.
        families: The families that it can load.
        setbacks: What has failed on it, by model id.
        strangers: The ids of models that are not to be wanted, but may be in a moment.
        now: Monotonic seconds.
    """
    for model_id, request in sorted(wanted.items(), key=lambda item: bool(item[1].base_model_id)):
        if request.family not in families:
            continue
        status = reported.get(model_id)
        setback = setbacks.get(model_id)
        if setback and setback.declaration == request.declaration and now < setback.retry_at:
            continue
        if status is None or _differs(status, request):
            yield LoadAction(request=request)
    for model_id, status in reported.items():
        held = status.is_default or model_id in wanted or model_id in strangers
        setback = setbacks.get(model_id)
        if setback and not setback.declaration and now < setback.retry_at:
            continue
        if is_ours(status.declaration) and not held and status.state != tts_pb2.MODEL_STATE_DRAINING:
            yield UnloadAction(model_id=model_id)


def speaks_as_declared(status: tts_pb2.ModelStatus) -> bool:
    """Whether what was declared last is resident, and not only older content."""
    return status.state == tts_pb2.MODEL_STATE_RESIDENT and status.reason not in {"Reloading", "ReloadFailed"}


def has_failed(status: tts_pb2.ModelStatus) -> bool:
    """Whether what was declared last does not speak, though older content may."""
    return status.state == tts_pb2.MODEL_STATE_FAILED or status.reason == "ReloadFailed"


def _differs(status: tts_pb2.ModelStatus, request: tts_pb2.LoadModelRequest) -> bool:
    if status.declaration != request.declaration:
        return True
    if has_failed(status):
        return not request.declare_only
    return status.state == tts_pb2.MODEL_STATE_DRAINING and status.reason == "UnloadRequested"
