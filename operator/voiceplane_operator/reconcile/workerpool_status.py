"""A TTSWorkerPool's status, from its Deployment, its pods and what the workers report. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.names import selector_text
from voiceplane_operator.reconcile.conditions import ConditionState, conditions
from voiceplane_operator.reconcile.family_check import FAMILY_NOT_AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from voiceplane_operator.resources import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPool:
    """What the operator knows of a pool.

    Attributes:
        deployment: As the API server has it; None before it exists.
        pods: Those that have not ended, by name.
        workers: The states of the connected workers.
        families: The families that one of them can load.
        blocked: Which default or preloaded models have a family that some of its workers lack; empty if none has.
        missing: Which other models that select it none of its workers can load; empty if there are none.
        template_hash: Of the desired pod template.
        replicas: The desired number of pods.
        problem: What the API server refused of the pool's manifests; empty if nothing.
    """

    deployment: Mapping[str, Any] | None
    pods: Mapping[str, Mapping[str, Any]]
    workers: Sequence[tts_pb2.WorkerState]
    template_hash: str
    replicas: int
    families: Collection[str] = ()
    blocked: str = ""
    missing: str = ""
    problem: str = ""


def pool_status(pool: Pool, view: ObservedPool, *, now: str) -> dict[str, Any]:
    """The whole status of a TTSWorkerPool.

    Args:
        pool: The pool.
        view: What the operator knows of it.
        now: RFC 3339.
    """
    counted = (view.deployment or {}).get("status") or {}
    ready_replicas = counted.get("readyReplicas", 0)
    # Only these models gate a worker's readiness.
    gating = frozenset({pool.spec.default_model, *pool.spec.preload})
    problems = list(_problems(view, gating))
    ready = _ready(view, ready_replicas, problems)
    states = [ready, _progressing(view, counted), _degraded(view, problems)]
    resident = Counter(
        model.model_id
        for worker in view.workers
        for model in worker.models
        if model.state == tts_pb2.MODEL_STATE_RESIDENT
    )
    return {
        "observedGeneration": pool.meta.generation,
        "replicas": counted.get("replicas", 0),
        "readyReplicas": ready_replicas,
        "updatedReplicas": counted.get("updatedReplicas", 0),
        "selector": selector_text(pool.key.name),
        "templateHash": view.template_hash,
        "sessions": sum(worker.load.sessions for worker in view.workers),
        "queueDepth": sum(worker.load.queue_depth for worker in view.workers),
        "phase": ready.reason,
        "families": sorted(view.families),
        "residentModels": [{"modelId": model_id, "workers": number} for model_id, number in sorted(resident.items())],
        "conditions": conditions(
            states, before=pool.status.get("conditions") or [], generation=pool.meta.generation, now=now
        ),
    }


def _ready(view: ObservedPool, ready: int, problems: Sequence[tuple[str, str]]) -> ConditionState:
    def state(status: bool, reason: str, message: str) -> ConditionState:
        return ConditionState(type="Ready", status=status, reason=reason, message=message)

    if view.problem:
        return state(False, "Refused", view.problem)
    if view.replicas == 0:
        return state(True, "ScaledToZero", "the desired number of workers is 0")
    counts = f"{ready} of {view.replicas} workers ready"
    if ready >= view.replicas:
        return state(True, "AllReady", counts)
    if problems:
        reason, message = problems[0]
        return state(False, reason, f"{counts}; {message}")
    return state(False, "Starting", counts)


def _problems(view: ObservedPool, gating: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Why pods do not get ready, as reasons and messages, the most specific one first."""
    yield from _unschedulable(view)
    yield from _waiting_containers(view)
    for condition in ((view.deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield "ReplicaFailure", condition.get("message", "")
    if view.blocked:
        yield FAMILY_NOT_AVAILABLE, view.blocked
    for worker in view.workers:
        for model in worker.models:
            if model.state == tts_pb2.MODEL_STATE_FAILED and model.model_id in gating and not worker.ready:
                yield "ModelFailed", f"model {model.model_id} failed to load: {model.message}"


def _unschedulable(view: ObservedPool) -> Iterator[tuple[str, str]]:
    unscheduled = [
        (name, condition)
        for name, pod in view.pods.items()
        for condition in pod["status"].get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    if unscheduled:
        name, condition = unscheduled[0]
        count = "1 pod" if len(unscheduled) == 1 else f"{len(unscheduled)} pods"
        yield "Unschedulable", f"{count} cannot be scheduled, such as {name}: {condition.get('message', '')}"


def _waiting_containers(view: ObservedPool) -> Iterator[tuple[str, str]]:
    for name, pod in view.pods.items():
        for container in pod["status"].get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting")
            if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
                yield waiting.get("reason", "Waiting"), f"{name}: {waiting.get('message') or waiting.get('reason', '')}"


def _progressing(view: ObservedPool, counted: Mapping[str, Any]) -> ConditionState:
    updated, total = counted.get("updatedReplicas", 0), counted.get("replicas", 0)
    if view.problem:
        return ConditionState(type="Progressing", status=False, reason="Refused", message=view.problem)
    if updated < view.replicas or total > view.replicas:
        message = f"{updated} of {view.replicas} workers have the current pod template; {total} are running"
        return ConditionState(type="Progressing", status=True, reason="RollingOut", message=message)
    return ConditionState(type="Progressing", status=False, reason="Complete")


def _degraded(view: ObservedPool, problems: Sequence[tuple[str, str]]) -> ConditionState:
    if view.problem:
        problems = [("Refused", view.problem), *problems]
    if view.missing:
        problems = [*problems, (FAMILY_NOT_AVAILABLE, view.missing)]
    if not problems:
        return ConditionState(type="Degraded", status=False, reason="AsExpected")
    return ConditionState(
        type="Degraded", status=True, reason=problems[0][0], message="; ".join(message for _, message in problems)
    )
