"""A VoiceModel's status, from what the workers report. Pure."""

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
IN_PROGRESS = frozenset({tts_pb2.MODEL_STATE_FETCHING, tts_pb2.MODEL_STATE_LOADING, tts_pb2.MODEL_STATE_WARMING})
# Of condition Fetched; its message tells the progress, which changes all the time.
FETCHING_REASON, PREFETCH_FAILED = "Fetching", "PrefetchFailed"
# A model in one of these states has its pack.
HAS_PACK = frozenset({tts_pb2.MODEL_STATE_LOADING, tts_pb2.MODEL_STATE_WARMING, tts_pb2.MODEL_STATE_RESIDENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInstance:
    """A model on one worker.

    Attributes:
        worker: The pod.
        pool: Its pool.
        status: What the worker reports; None if it does not know the model yet.
        current: Whether the report is about the current declaration.
        usable: Whether the worker accepts sessions.
        refusal: The reason and message with which LoadModel was refused.
    """

    worker: str
    pool: str
    status: tts_pb2.ModelStatus | None
    current: bool
    usable: bool
    refusal: tuple[str, str] | None = None

    @property
    def resident(self) -> bool:
        """Whether the declared content is resident."""
        return self.current and self.status is not None and serves_declared(self.status)

    @property
    def has_pack(self) -> bool:
        """Whether the declared pack is on the worker's machine."""
        return self.current and self.status is not None and (self.status.state in HAS_PACK or self.status.prefetched)

    @property
    def outdated(self) -> bool:
        """Whether only older content of the model is resident."""
        return self.status is not None and self.status.state == tts_pb2.MODEL_STATE_RESIDENT and not self.resident

    @property
    def failure(self) -> tuple[str, str] | None:
        """Why the declared content failed to load, as reason and message."""
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
    unavailable: Refusal | None = None,
    now: str,
) -> dict[str, Any]:
    """The whole status of a VoiceModel.

    Args:
        model: The VoiceModel.
        instances: One for each connected worker of its pools that can load its family.
        pools: Pools that it selects and fits into.
        too_small: Pools that it selects and does not fit into.
        refusal: Why no worker gets it.
        unavailable: Why no connected worker can load it.
        now: RFC 3339.
    """
    resident = sum(each.resident for each in instances)
    states = [
        ConditionState(
            type="Accepted",
            status=refusal is None,
            reason=refusal.reason if refusal else "Accepted",
            message=refusal.message if refusal else "",
        ),
        ready := _ready(model, instances, pools=pools, too_small=too_small, refusal=refusal, unavailable=unavailable),
        _fetched(instances),
        _degraded(instances, unavailable=None if refusal else unavailable),
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
            states, before=model.status.get("conditions") or [], generation=model.meta.generation, now=now
        ),
    }
    reports = [each.status for each in instances if each.status]
    if used := [each.last_used for each in reports if each.HasField("last_used")]:
        status["lastUsed"] = _time(max(used, key=_seconds))
    if expiries := [each.expires_at for each in reports if each.HasField("expires_at")]:
        status["expiresAt"] = _time(min(expiries, key=_seconds))
    return status


def _ready(
    model: Model,
    instances: Sequence[ModelInstance],
    *,
    pools: int,
    too_small: int,
    refusal: Refusal | None,
    unavailable: Refusal | None,
) -> ConditionState:
    """The first state that applies."""
    without_workers = _without_workers(
        model, instances, pools=pools, too_small=too_small, refusal=refusal, unavailable=unavailable
    )
    status, reason, message = next(chain(without_workers, _on_workers(model, instances)))
    return ConditionState(type="Ready", status=status, reason=reason, message=message)


def _without_workers(
    model: Model,
    instances: Sequence[ModelInstance],
    *,
    pools: int,
    too_small: int,
    refusal: Refusal | None,
    unavailable: Refusal | None,
) -> Iterator[tuple[bool, str, str]]:
    if refusal:
        yield False, refusal.reason, refusal.message
    if not pools and too_small:
        message = f"spec.memory {model.spec.memory} is more than spec.memoryBudget of each matching TTSWorkerPool"
        yield False, "TooLarge", f"{message}: raise one pool's memoryBudget"
    if not pools:
        yield False, "NoPool", "no TTSWorkerPool of this namespace matches spec.poolSelector: apply one"
    if unavailable:
        yield False, unavailable.reason, unavailable.message
    if not instances:
        matching = "1 matching TTSWorkerPool" if pools == 1 else f"{pools} matching TTSWorkerPools"
        yield False, "NoWorker", f"no worker of the {matching} is connected: see the pool's status"


def _on_workers(model: Model, instances: Sequence[ModelInstance]) -> Iterator[tuple[bool, str, str]]:
    workers = _workers(len(instances))
    resident = sum(each.resident and each.usable for each in instances)
    if resident == len(instances):
        yield True, "Resident", f"resident on {workers}"
    if resident:
        yield True, "PartlyResident", f"resident on {resident} of {workers}"
    failure = next(((each.worker, *each.failure) for each in instances if each.failure), None)
    outdated = sum(each.outdated and each.usable for each in instances)
    if outdated and failure:
        yield True, failure[1], f"{outdated} of {workers} still serve the previous content; {failure[0]}: {failure[2]}"
    if outdated:
        yield True, "Reloading", f"{outdated} of {workers} still serve the previous content until the new one is loaded"
    if failure:
        yield False, failure[1], f"{failure[0]}: {failure[2]}"
    reported = [each.status.state for each in instances if each.current and each.status]
    unloaded = {tts_pb2.MODEL_STATE_ABSENT, tts_pb2.MODEL_STATE_DRAINING}
    if len(reported) == len(instances) and set(reported) <= unloaded:
        if model.spec.residency.policy == "onDemand":
            yield True, "OnDemand", "the first session that asks for it loads it"
        yield True, "Evicted", "evicted because it was unused or its memory was needed; the next session loads it again"
    for state in reported:
        if state in IN_PROGRESS:
            name = state_name(state)
            yield False, name.capitalize(), f"{name} on {sum(each == state for each in reported)} of {workers}"
    yield False, "Waiting", f"not resident on any of {workers} yet"


def _fetched(instances: Sequence[ModelInstance]) -> ConditionState:
    fetched = [each for each in instances if each.has_pack]
    message = f"fetched on {len(fetched)} of {_workers(len(instances))}"
    if instances and len(fetched) == len(instances):
        return ConditionState(type="Fetched", status=True, reason="Fetched")
    if fetching := [each.status for each in instances if each.status and each.status.fetch_bytes]:
        done, total = sum(each.fetched_bytes for each in fetching), sum(each.fetch_bytes for each in fetching)
        rate = sum(each.fetch_bytes_per_s for each in fetching)
        progress = f"{_megabytes(done)} of {_megabytes(total)} MB, {_megabytes(rate)} MB/s"
        reason, message = FETCHING_REASON, f"{message}, fetching on {len(fetching)}: {progress}"
    elif failed := [each for each in instances if each.status and each.status.reason == PREFETCH_FAILED]:
        reason = PREFETCH_FAILED
        message = f"{message}; {failed[0].worker}: {failed[0].status.message if failed[0].status else ''}"
    else:
        reason = "NotFetched"
    return ConditionState(type="Fetched", status=False, reason=reason, message=message)


def _megabytes(count: int) -> str:
    """Bytes in MB, with one decimal where that shows something."""
    return f"{count / 1e6:.1f}" if count < 100_000_000 else f"{count / 1e6:.0f}"


def _degraded(instances: Sequence[ModelInstance], *, unavailable: Refusal | None) -> ConditionState:
    if unavailable:
        return ConditionState(type="Degraded", status=True, reason=unavailable.reason, message=unavailable.message)
    failures = [(each.worker, *failure) for each in instances if (failure := each.failure)]
    if not failures:
        return ConditionState(type="Degraded", status=False, reason="AsExpected")
    message = "; ".join(f"{worker}: {message}" for worker, _, message in failures)
    return ConditionState(type="Degraded", status=True, reason=failures[0][1], message=message)


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
    if status and status.fetch_bytes:
        entry["fetchedBytes"], entry["fetchBytes"] = status.fetched_bytes, status.fetch_bytes
        entry["fetchBytesPerSecond"] = status.fetch_bytes_per_s
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
