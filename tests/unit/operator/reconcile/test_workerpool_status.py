"""What keeps a pool's workers from getting ready, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_operator.reconcile.workerpool_status import ObservedPool, pool_status
from voiceplane_operator.resources import Pool
from voiceplane_proto.v1 import tts_pb2

NOW = "2026-11-24T00:00:00Z"


def pool() -> Pool:
    return Pool.read(
        {
            "metadata": {"namespace": "speech", "name": "p", "uid": "1", "generation": 3},
            "spec": {"image": "worker:1", "defaultModel": "first", "preload": ["second"]},
        }
    )


def status(workers: list[tts_pb2.WorkerState]) -> dict[str, Any]:
    view = ObservedPool(
        deployment={"status": {"replicas": 1, "readyReplicas": 0, "updatedReplicas": 1}},
        pods={},
        workers=workers,
        template_hash="0123456789ab",
        replicas=1,
    )
    return pool_status(pool(), view, now=NOW)


def worker(model_id: str, *, ready: bool = False) -> tts_pb2.WorkerState:
    failed = tts_pb2.ModelStatus(
        model_id=model_id,
        state=tts_pb2.MODEL_STATE_FAILED,
        residency=tts_pb2.RESIDENCY_PRELOAD,
        message="the digest differs",
    )
    return tts_pb2.WorkerState(ready=ready, models=[failed])


def condition(of: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in of["conditions"] if each["type"] == kind)
    return found


@pytest.mark.parametrize("model_id", ["first", "second"])
def test_a_model_that_the_pool_waits_for_is_blamed(model_id: str) -> None:
    told = status([worker(model_id)])
    assert condition(told, "Ready")["reason"] == "ModelFailed"
    assert condition(told, "Ready")["message"] == (
        f"0 of 1 workers ready; model {model_id} does not load: the digest differs"
    )
    assert condition(told, "Degraded")["status"] == "True"


def test_a_model_that_a_voicemodel_preloads_is_not_blamed() -> None:
    told = status([worker("third")])
    assert condition(told, "Ready")["reason"] == "Starting"
    assert condition(told, "Degraded")["status"] == "False"


def test_a_ready_worker_is_no_problem() -> None:
    assert condition(status([worker("first", ready=True)]), "Degraded")["status"] == "False"
