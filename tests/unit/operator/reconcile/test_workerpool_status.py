"""A pool's conditions: what keeps its workers from getting ready, and what does not."""

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


def status(workers: list[tts_pb2.WorkerState], *, ready: int = 0, **observed: Any) -> dict[str, Any]:
    view = ObservedPool(
        deployment={"status": {"replicas": 1, "readyReplicas": ready, "updatedReplicas": 1}},
        pods={},
        workers=workers,
        template_hash="0123456789ab",
        replicas=1,
        **observed,
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
def test_a_failed_default_or_preloaded_model_is_the_reason(model_id: str) -> None:
    found = status([worker(model_id)])
    assert condition(found, "Ready")["reason"] == "ModelFailed"
    message = condition(found, "Ready")["message"]
    assert "0 of 1" in message
    assert f"{model_id} failed to load: the digest differs" in message
    assert condition(found, "Degraded")["status"] == "True"


def test_another_failed_model_is_not_the_reason() -> None:
    found = status([worker("third")])
    assert condition(found, "Ready")["reason"] == "Starting"
    assert condition(found, "Degraded")["status"] == "False"


def test_a_ready_worker_is_no_problem() -> None:
    assert condition(status([worker("first", ready=True)]), "Degraded")["status"] == "False"


def test_a_missing_family_of_the_default_model_blocks_the_pool() -> None:
    found = status([worker("first")], blocked="family festival")
    for kind in ("Ready", "Degraded"):
        assert condition(found, kind)["reason"] == "FamilyNotAvailable"
        assert "family festival" in condition(found, kind)["message"]


def test_a_missing_family_of_another_model_degrades_a_ready_pool() -> None:
    found = status([worker("other", ready=True)], ready=1, missing="family festival")
    assert condition(found, "Ready")["reason"] == "AllReady"
    degraded = condition(found, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "FamilyNotAvailable")


def test_the_families_of_the_workers_are_listed() -> None:
    assert status([], families={"piper", "mock"})["families"] == ["mock", "piper"]
