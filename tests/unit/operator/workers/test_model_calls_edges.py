"""The due calls at the edges: when a backoff ends, and for draining models."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_operator.workers.model_calls import LoadCall, ModelCall, UnloadCall, due_calls
from voiceplane_operator.workers.retry import RetryState
from voiceplane_proto.v1 import tts_pb2

PREFIX = "voiceplane.dev/voicemodel/speech/joe/uid/"
FAMILIES = {"mock": tts_pb2.Family(name="mock", lora=True)}
ABSENT = tts_pb2.MODEL_STATE_ABSENT
LOADING = tts_pb2.MODEL_STATE_LOADING
RESIDENT = tts_pb2.MODEL_STATE_RESIDENT
DRAINING = tts_pb2.MODEL_STATE_DRAINING
FAILED = tts_pb2.MODEL_STATE_FAILED
RETRY_AT = 100.0
JUST_BEFORE = RETRY_AT - 0.001


def request(version: str = "v1", **more: Any) -> tts_pb2.LoadModelRequest:
    return tts_pb2.LoadModelRequest(model_id="joe", family="mock", declaration=PREFIX + version, **more)


def status(
    state: tts_pb2.ModelState.ValueType, reason: str = "", *, declaration: str = PREFIX + "v1"
) -> tts_pb2.ModelStatus:
    return tts_pb2.ModelStatus(model_id="joe", state=state, reason=reason, declaration=declaration)


def asked(
    wanted: tts_pb2.LoadModelRequest | None,
    reported: tts_pb2.ModelStatus | None,
    *,
    failed: str | None = None,
    now: float = 0.0,
) -> list[ModelCall]:
    """The due calls for one model.

    Args:
        wanted: None if nothing declares it.
        reported: None if the worker does not know it.
        failed: The declaration whose call has failed, empty for an unload; None if none has.
        now: Monotonic seconds.
    """
    retry = RetryState(declaration=failed, error=None, attempts=1, retry_at=RETRY_AT) if failed is not None else None
    return list(
        due_calls(
            {"joe": wanted} if wanted else {},
            {"joe": reported} if reported else {},
            families=FAMILIES,
            retries={"joe": retry} if retry else {},
            now=now,
        )
    )


LOAD = [LoadCall(request=request())]
UNLOAD: list[ModelCall] = [UnloadCall(model_id="joe")]


@pytest.mark.parametrize("reported", [None, status(FAILED, "Broken"), status(RESIDENT, "ReloadFailed")])
def test_a_failed_load_is_retried_when_due_and_no_sooner(
    reported: tts_pb2.ModelStatus | None,
) -> None:
    assert asked(request(), reported, failed=PREFIX + "v1", now=JUST_BEFORE) == []
    assert asked(request(), reported, failed=PREFIX + "v1", now=RETRY_AT) == LOAD


def test_a_failed_unload_is_retried_when_due_and_no_sooner() -> None:
    assert asked(None, status(RESIDENT), failed="", now=JUST_BEFORE) == []
    assert asked(None, status(RESIDENT), failed="", now=RETRY_AT) == UNLOAD


def test_a_failure_delays_only_the_same_call() -> None:
    assert asked(request(), None, failed=PREFIX + "v0", now=JUST_BEFORE) == LOAD
    assert asked(request(), None, failed="", now=JUST_BEFORE) == LOAD
    assert asked(None, status(RESIDENT), failed=PREFIX + "v1", now=JUST_BEFORE) == UNLOAD


@pytest.mark.parametrize("reason", ["UnloadRequested", "Evicted", "Expired", ""])
def test_a_draining_model_is_not_unloaded_again(reason: str) -> None:
    assert asked(None, status(DRAINING, reason)) == []


def test_an_unloading_model_is_loaded_if_it_is_desired_again() -> None:
    assert asked(request(), status(DRAINING, "UnloadRequested")) == LOAD


@pytest.mark.parametrize("reason", ["Evicted", "Expired", ""])
def test_a_model_that_the_worker_evicts_is_left_alone(reason: str) -> None:
    assert asked(request(), status(DRAINING, reason)) == []


@pytest.mark.parametrize(
    ("state", "reason"), [(DRAINING, "UnloadRequested"), (DRAINING, "Evicted"), (RESIDENT, ""), (FAILED, "Broken")]
)
def test_another_declaration_is_loaded_in_any_state(state: tts_pb2.ModelState.ValueType, reason: str) -> None:
    assert asked(request("v2"), status(state, reason)) == [LoadCall(request=request("v2"))]


@pytest.mark.parametrize(
    ("state", "reason"),
    [(ABSENT, "Evicted"), (LOADING, ""), (RESIDENT, ""), (RESIDENT, "Reloading"), (RESIDENT, "UnloadRequested")],
)
def test_a_call_that_did_not_fail_is_not_repeated(state: tts_pb2.ModelState.ValueType, reason: str) -> None:
    assert asked(request(), status(state, reason)) == []


@pytest.mark.parametrize(("state", "reason"), [(FAILED, "Broken"), (RESIDENT, "ReloadFailed")])
def test_a_failed_model_on_demand_waits_for_the_next_session(state: tts_pb2.ModelState.ValueType, reason: str) -> None:
    assert asked(request(declare_only=True), status(state, reason)) == []
    assert asked(request(), status(state, reason)) == LOAD


@pytest.mark.parametrize("state", [ABSENT, LOADING, RESIDENT, FAILED])
def test_an_undeclared_model_is_unloaded_in_any_state(state: tts_pb2.ModelState.ValueType) -> None:
    assert asked(None, status(state)) == UNLOAD


@pytest.mark.parametrize("declaration", ["", "operator-of-another-kind/x"])
def test_a_model_of_another_declarer_is_never_unloaded(declaration: str) -> None:
    assert asked(None, status(RESIDENT, declaration=declaration)) == []
