"""A TTSWorkerPool's status, made anew from its Deployment, its pods and what the workers report. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.names import selector_text
from voiceplane_operator.reconcile.conditions import ConditionState, conditions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from voiceplane_operator.resources import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPool:
    """What is seen of a pool.

    Attributes:
        deployment: As the API server has it; None before it is there.
        pods: Those that have not ended.
        workers: What the reachable ones report.
        template_hash: Of the template that is wanted.
        replicas: Pods that are wanted.
        problem: What the API server refused of what the pool asks for.
    """

    deployment: Mapping[str, Any] | None
    pods: Mapping[str, Mapping[str, Any]]
    workers: Sequence[tts_pb2.WorkerState]
    template_hash: str
    replicas: int
    problem: str = ""


def pool_status(pool: Pool, view: ObservedPool, *, now: str) -> dict[str, Any]:
    """The whole status of a TTSWorkerPool.

    Args:
        pool: It.
        view: What is seen.
        now: RFC 3339.
    """
    counted = (view.deployment or {}).get("status") or {}
    ready_replicas = counted.get("readyReplicas", 0)
    # A worker gets ready without its other models, so those are not why it is not.
    gating = frozenset({pool.spec.default_model, *pool.spec.preload})
    problems = list(_problems(view, gating))
    ready = _ready(view, ready_replicas, problems)
    verdicts = [ready, _progressing(view, counted), _degraded(view, problems)]
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
        "residentModels": [{"modelId": model_id, "workers": number} for model_id, number in sorted(resident.items())],
        "conditions": conditions(
            verdicts, before=pool.status.get("conditions") or [], generation=pool.meta.generation, now=now
        ),
    }


def _ready(view: ObservedPool, ready: int, problems: Sequence[tuple[str, str]]) -> ConditionState:
    def verdict(status: bool, reason: str, message: str) -> ConditionState:
        return ConditionState(type="Ready", status=status, reason=reason, message=message)

    if view.problem:
        return verdict(False, "Refused", view.problem)
    if view.replicas == 0:
        return verdict(True, "ScaledToZero", "no worker is wanted")
    told = f"{ready} of {view.replicas} workers ready"
    if ready >= view.replicas:
        return verdict(True, "AllReady", told)
    if problems:
        reason, message = problems[0]
        return verdict(False, reason, f"{told}; {message}")
    return verdict(False, "Starting", told)


def _problems(view: ObservedPool, gating: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Why pods do not get ready, the most telling reason first."""
    unscheduled = [
        (name, condition)
        for name, pod in view.pods.items()
        for condition in pod["status"].get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    if unscheduled:
        name, condition = unscheduled[0]
        yield "Unschedulable", f"{len(unscheduled)} can't be scheduled, such as {name}: {condition.get('message', '')}"
    for name, pod in view.pods.items():
        for container in pod["status"].get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting")
            if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
                yield waiting.get("reason", "Waiting"), f"{name}: {waiting.get('message') or waiting.get('reason', '')}"
    for condition in ((view.deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield "ReplicaFailure", condition.get("message", "")
    for worker in view.workers:
        for model in worker.models:
            if model.state == tts_pb2.MODEL_STATE_FAILED and model.model_id in gating and not worker.ready:
                yield "ModelFailed", f"model {model.model_id} does not load: {model.message}"


def _progressing(view: ObservedPool, counted: Mapping[str, Any]) -> ConditionState:
    updated, total = counted.get("updatedReplicas", 0), counted.get("replicas", 0)
    if view.problem:
        return ConditionState(type="Progressing", status=False, reason="Refused", message=view.problem)
    if updated < view.replicas or total > view.replicas:
        message = f"{updated} of {view.replicas} workers have the present template; {total} run"
        return ConditionState(type="Progressing", status=True, reason="RollingOut", message=message)
    return ConditionState(type="Progressing", status=False, reason="Complete")


def _degraded(view: ObservedPool, problems: Sequence[tuple[str, str]]) -> ConditionState:
    if view.problem:
        problems = [("Refused", view.problem), *problems]
    if not problems:
        return ConditionState(type="Degraded", status=False, reason="AsExpected")
    return ConditionState(
        type="Degraded", status=True, reason=problems[0][0], message="; ".join(message for _, message in problems)
    )
