"""A VoiceModel's status, made anew from what the workers report. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from voiceplane_client import state_name
from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.reconcile.conditions import ConditionState, conditions
from voiceplane_operator.workers.model_calls import has_failed, serves_declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from voiceplane_operator.declarations import Refusal
    from voiceplane_operator.resources import Model

MAX_TEXT_CHARS = 1000
ON_THE_WAY = frozenset({tts_pb2.MODEL_STATE_FETCHING, tts_pb2.MODEL_STATE_LOADING, tts_pb2.MODEL_STATE_WARMING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInstance:
    """A model on one worker.

    Attributes:
        worker: The pod.
        pool: Its pool.
        status: What the worker says; None if it does not know the model yet.
        current: Whether that is said of the present declaration.
        usable: Whether the worker takes sessions.
        refusal: What LoadModel was refused with, as reason and message.
    """

    worker: str
    pool: str
    status: tts_pb2.ModelStatus | None
    current: bool
    usable: bool
    refusal: tuple[str, str] | None = None

    @property
    def resident(self) -> bool:
        """Whether the declared content speaks."""
        return self.current and self.status is not None and serves_declared(self.status)

    @property
    def former(self) -> bool:
        """Whether older content of the model speaks."""
        return self.status is not None and self.status.state == tts_pb2.MODEL_STATE_RESIDENT and not self.resident

    @property
    def failure(self) -> tuple[str, str] | None:
        """Why it does not, as reason and message."""
        if self.refusal:
            return self.refusal
        if self.status is None:
            return None
        if has_failed(self.status):
            return self.status.reason or "LoadFailed", self.status.message
        return None


def model_status(
    model: Model,
    *,
    instances: Sequence[ModelInstance],
    pools: int,
    too_small: int = 0,
    refusal: Refusal | None,
    now: str,
) -> dict[str, Any]:
    """The whole status of a VoiceModel.

    Args:
        model: It.
        instances: It on each worker that can load its family and is to know it.
        pools: Pools that are to have it.
        too_small: Further pools that it is meant for and does not fit into.
        refusal: Why it is given to no worker.
        now: RFC 3339.
    """
    resident = sum(each.resident for each in instances)
    verdicts = [
        ConditionState(
            type="Accepted",
            status=refusal is None,
            reason=refusal.reason if refusal else "Accepted",
            message=refusal.message if refusal else "",
        ),
        ready := _ready(model, instances, pools=pools, too_small=too_small, refusal=refusal),
        _fetched(instances),
        _degraded(instances),
    ]
    status: dict[str, Any] = {
        "observedGeneration": model.meta.generation,
        "modelId": model.model_id,
        "phase": ready.reason,
        "desired": len(instances),
        "resident": resident,
        "residency": f"{resident}/{len(instances)}",
        "sessions": sum(each.status.references for each in instances if each.status),
        "workers": [_worker(each) for each in sorted(instances, key=lambda each: each.worker)],
        "conditions": conditions(
            verdicts, before=model.status.get("conditions") or [], generation=model.meta.generation, now=now
        ),
    }
    statuses = [each.status for each in instances if each.status]
    if used := [each.last_used for each in statuses if each.HasField("last_used")]:
        status["lastUsed"] = _time(max(used, key=_seconds))
    if expiries := [each.expires_at for each in statuses if each.HasField("expires_at")]:
        status["expiresAt"] = _time(min(expiries, key=_seconds))
    return status


def _ready(
    model: Model, instances: Sequence[ModelInstance], *, pools: int, too_small: int, refusal: Refusal | None
) -> ConditionState:
    """The first verdict that holds."""
    status, reason, message = next(
        chain(
            _without_workers(model, instances, pools=pools, too_small=too_small, refusal=refusal),
            _on_workers(model, instances),
        )
    )
    return ConditionState(type="Ready", status=status, reason=reason, message=message)


def _without_workers(
    model: Model, instances: Sequence[ModelInstance], *, pools: int, too_small: int, refusal: Refusal | None
) -> Iterator[tuple[bool, str, str]]:
    if refusal:
        yield False, refusal.reason, refusal.message
    if not pools and too_small:
        message = f"spec.memory {model.spec.memory} is more than spec.memoryBudget of each matching TTSWorkerPool"
        yield False, "TooLarge", f"{message}: raise one pool's memoryBudget"
    if not pools:
        yield False, "NoPool", "no TTSWorkerPool of this namespace matches spec.poolSelector: apply one"
    if not instances:
        message = f"no running worker of the {pools} matching pools can load family {model.spec.family}"
        yield False, "NoWorker", message


def _on_workers(model: Model, instances: Sequence[ModelInstance]) -> Iterator[tuple[bool, str, str]]:
    workers = _workers(len(instances))
    resident = sum(each.resident and each.usable for each in instances)
    if resident == len(instances):
        yield True, "Resident", f"resident on {workers}"
    if resident:
        yield True, "PartlyResident", f"resident on {resident} of {workers}"
    failure = next(((each.worker, *each.failure) for each in instances if each.failure), None)
    former = sum(each.former and each.usable for each in instances)
    if former and failure:
        yield True, failure[1], f"the former content speaks on {former} of {workers}; {failure[0]}: {failure[2]}"
    if former:
        yield True, "Reloading", f"the former content speaks on {former} of {workers} until the declared one is loaded"
    if failure:
        yield False, failure[1], f"{failure[0]}: {failure[2]}"
    told = [each.status.state for each in instances if each.current and each.status]
    if len(told) == len(instances) and set(told) <= {tts_pb2.MODEL_STATE_ABSENT, tts_pb2.MODEL_STATE_DRAINING}:
        if model.spec.residency.policy == "onDemand":
            yield True, "OnDemand", "loaded by the first session that asks for it"
        yield True, "Evicted", "unloaded for want of use or room; the next session loads it again"
    for state in told:
        if state in ON_THE_WAY:
            name = state_name(state)
            yield False, name.capitalize(), f"{name} on {sum(each == state for each in told)} of {workers}"
    yield False, "Waiting", f"resident on none of {workers} yet"


def _fetched(instances: Sequence[ModelInstance]) -> ConditionState:
    fetched = [
        each
        for each in instances
        if each.current
        and each.status
        and each.status.state
        in {tts_pb2.MODEL_STATE_LOADING, tts_pb2.MODEL_STATE_WARMING, tts_pb2.MODEL_STATE_RESIDENT}
    ]
    if instances and len(fetched) == len(instances):
        return ConditionState(type="Fetched", status=True, reason="Fetched")
    return ConditionState(
        type="Fetched",
        status=False,
        reason="NotFetched",
        message=f"fetched on {len(fetched)} of {_workers(len(instances))}",
    )


def _degraded(instances: Sequence[ModelInstance]) -> ConditionState:
    failures = [(each.worker, *failure) for each in instances if (failure := each.failure)]
    if not failures:
        return ConditionState(type="Degraded", status=False, reason="AsExpected")
    told = "; ".join(f"{worker}: {message}" for worker, _, message in failures)
    return ConditionState(type="Degraded", status=True, reason=failures[0][1], message=told)


def _worker(instance: ModelInstance) -> dict[str, Any]:
    status = instance.status
    entry: dict[str, Any] = {
        "worker": instance.worker,
        "pool": instance.pool,
        "state": state_name(status.state) if status else "absent",
        "references": status.references if status else 0,
    }
    if status and status.sha256:
        entry["sha256"] = status.sha256
    if instance.failure:
        entry["reason"], entry["message"] = instance.failure[0][:128], instance.failure[1][:MAX_TEXT_CHARS]
    elif status and status.reason:
        entry["reason"] = status.reason[:128]
    return entry


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"


def _seconds(timestamp: Timestamp) -> float:
    return timestamp.seconds + timestamp.nanos / 1e9


def _time(timestamp: Timestamp) -> str:
    return datetime.fromtimestamp(timestamp.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
