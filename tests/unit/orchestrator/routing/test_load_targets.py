"""Which workers load a model."""

from __future__ import annotations

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.routing.load_targets import load_targets
from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView
from voiceplane_proto.v1 import tts_pb2


def worker(address: str, *models: str, families: tuple[str, ...] = ("mock",), connected: bool = True) -> WorkerView:
    views = tuple(ModelView(model_id=model, family="mock", state="resident") for model in models)
    return WorkerView(address=address, connected=connected, families=families, models=views)


WORKERS = (worker("a:1", "base", "joe"), worker("b:1", families=("csm",)), worker("c:1", "joe", connected=False))


def request(model_id: str, *, uri: str = "", family: str = "", base: str = "") -> tts_pb2.LoadModelRequest:
    source = tts_pb2.ModelSource(uri=uri) if uri else None
    return tts_pb2.LoadModelRequest(model_id=model_id, source=source, family=family, base_model_id=base)


@pytest.mark.parametrize(
    ("wanted", "addresses"),
    [
        (request("joe"), ["a:1"]),
        (request("new", uri="file:///x"), ["a:1", "b:1"]),
        (request("new", uri="file:///x", family="csm"), ["b:1"]),
        (request("new", uri="file:///x", base="base"), ["a:1"]),
    ],
)
def test_those_that_can_load_it_do(wanted: tts_pb2.LoadModelRequest, addresses: list[str]) -> None:
    assert load_targets(WORKERS, wanted) == addresses


def test_named_workers_load_it() -> None:
    assert load_targets(WORKERS, request("new", uri="file:///x"), workers_asked=("b:1", "b:1")) == ["b:1"]


@pytest.mark.parametrize(
    ("wanted", "asked", "reason", "word"),
    [
        (request("new"), (), "UNKNOWN_MODEL", "base, joe"),
        (request("new", uri="file:///x", family="xtts"), (), "FAMILY_NOT_INSTALLED", "csm, mock"),
        (request("new", uri="file:///x", base="other"), (), "BASE_MODEL_NOT_FOUND", "load it first"),
        (request("joe"), ("c:1",), "UNKNOWN_WORKER", "a:1, b:1"),
    ],
)
def test_a_load_that_no_worker_can_do_is_refused(
    wanted: tts_pb2.LoadModelRequest, asked: tuple[str, ...], reason: str, word: str
) -> None:
    with pytest.raises(VoiceplaneError, match=word) as caught:
        load_targets(WORKERS, wanted, workers_asked=asked)
    assert caught.value.reason == reason


def test_without_a_connected_worker_a_load_may_be_tried_later() -> None:
    with pytest.raises(VoiceplaneError) as caught:
        load_targets([worker("c:1", connected=False)], request("new", uri="file:///x"))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
