"""What is asked of a worker at the edges: as a wait ends, and of a model that is about to go."""

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
    """What is asked for of one model.

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
def test_a_failed_load_is_asked_for_again_when_its_time_has_come_and_no_sooner(
    reported: tts_pb2.ModelStatus | None,
) -> None:
    assert asked(request(), reported, failed=PREFIX + "v1", now=JUST_BEFORE) == []
    assert asked(request(), reported, failed=PREFIX + "v1", now=RETRY_AT) == LOAD


def test_a_failed_unload_is_asked_for_again_when_its_time_has_come_and_no_sooner() -> None:
    assert asked(None, status(RESIDENT), failed="", now=JUST_BEFORE) == []
    assert asked(None, status(RESIDENT), failed="", now=RETRY_AT) == UNLOAD


def test_a_failure_delays_neither_another_declaration_nor_the_other_call() -> None:
    assert asked(request(), None, failed=PREFIX + "v0", now=JUST_BEFORE) == LOAD
    assert asked(request(), None, failed="", now=JUST_BEFORE) == LOAD
    assert asked(None, status(RESIDENT), failed=PREFIX + "v1", now=JUST_BEFORE) == UNLOAD


@pytest.mark.parametrize("reason", ["UnloadRequested", "Evicted", "Expired", ""])
def test_a_model_that_is_draining_is_not_asked_to_go_once_more(reason: str) -> None:
    assert asked(None, status(DRAINING, reason)) == []


def test_a_model_that_goes_because_we_asked_is_loaded_if_it_is_wanted_again() -> None:
    assert asked(request(), status(DRAINING, "UnloadRequested")) == LOAD


@pytest.mark.parametrize("reason", ["Evicted", "Expired", ""])
def test_a_model_that_goes_for_the_workers_own_reasons_is_left_alone(reason: str) -> None:
    assert asked(request(), status(DRAINING, reason)) == []


@pytest.mark.parametrize(
    ("state", "reason"), [(DRAINING, "UnloadRequested"), (DRAINING, "Evicted"), (RESIDENT, ""), (FAILED, "Broken")]
)
def test_another_declaration_is_asked_for_whatever_the_model_does(
    state: tts_pb2.ModelState.ValueType, reason: str
) -> None:
    assert asked(request("v2"), status(state, reason)) == [LoadCall(request=request("v2"))]


@pytest.mark.parametrize(
    ("state", "reason"),
    [(ABSENT, "Evicted"), (LOADING, ""), (RESIDENT, ""), (RESIDENT, "Reloading"), (RESIDENT, "UnloadRequested")],
)
def test_what_was_asked_for_and_did_not_fail_is_not_asked_for_again(
    state: tts_pb2.ModelState.ValueType, reason: str
) -> None:
    assert asked(request(), status(state, reason)) == []


@pytest.mark.parametrize(("state", "reason"), [(FAILED, "Broken"), (RESIDENT, "ReloadFailed")])
def test_a_model_on_demand_that_failed_waits_for_the_next_session(
    state: tts_pb2.ModelState.ValueType, reason: str
) -> None:
    assert asked(request(declare_only=True), status(state, reason)) == []
    assert asked(request(), status(state, reason)) == LOAD


@pytest.mark.parametrize("state", [ABSENT, LOADING, RESIDENT, FAILED])
def test_what_nothing_declares_any_more_goes_in_whatever_state(state: tts_pb2.ModelState.ValueType) -> None:
    assert asked(None, status(state)) == UNLOAD


@pytest.mark.parametrize("declaration", ["", "operator-of-another-kind/x"])
def test_what_no_voicemodel_has_declared_is_never_asked_to_go(declaration: str) -> None:
    assert asked(None, status(RESIDENT, declaration=declaration)) == []
