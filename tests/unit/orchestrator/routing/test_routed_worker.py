"""A worker's snapshot as the router's view of it."""

from __future__ import annotations

from voiceplane_orchestrator.routing.routed_worker import worker_view
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.residency.model_status import ModelState, ModelStatus
from voiceplane_worker.server.proto_conversion import model_status


def test_how_far_a_fetch_is_reaches_the_view() -> None:
    told = ModelStatus(
        model_id="m", family="piper", state=ModelState.FETCHING, fetched_bytes=21 << 30, fetch_bytes=63 << 30
    )
    view = worker_view("host:1", tts_pb2.WorkerState(models=[model_status(told)]), device="cpu")
    (model,) = view.models
    assert (model.state, model.fetched_bytes, model.fetch_bytes) == ("fetching", 21 << 30, 63 << 30)
    assert not model.resident
