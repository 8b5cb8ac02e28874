"""Reconciling a VoiceModel: the status from its workers, and when it is written."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.errors import invalid
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.controller import Controller
from voiceplane_operator.reconcile.status_writer import VOLATILE_EVERY_S
from voiceplane_operator.reconcile.store import Store
from voiceplane_operator.reconcile.work_queue import WorkItem
from voiceplane_operator.workers.retry import RetryState
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time
from tests.unit.operator.objects import NAMESPACE, body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.kube.api import Api
    from voiceplane_operator.workers.fleet import Fleet

ITEM = WorkItem("VoiceModel", Key(NAMESPACE, "joe"))
UNKNOWN_VOICE = invalid("voices", "model 'joe' has no voice 'x'", reason="UNKNOWN_VOICE")


class FakeApi:
    """Records statuses with their time, and the types and reasons of events."""

    def __init__(self) -> None:
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self.events: list[tuple[str, str]] = []

    async def replace_status(self, *_: str, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        assert uid == "uid-joe"
        self.statuses.append((asyncio.get_running_loop().time(), dict(status)))
        return body("joe", {"family": "mock"}) | {"status": dict(status)}

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.events.append((manifest["type"], manifest["reason"]))
        return dict(manifest)


class FakeWorker:
    """A worker that reports what a test sets for the model `joe`."""

    def __init__(self, *, family: str = "mock", reachable: bool = True) -> None:
        self.name = "worker"
        self.usable = True
        self.families = {family: tts_pb2.Family(name=family)}
        self.state = tts_pb2.WorkerState(ready=True) if reachable else None
        self.retries: dict[str, RetryState] = {}
        self.models: dict[str, tts_pb2.ModelStatus] = {}

    def reported(self) -> dict[str, tts_pb2.ModelStatus]:
        return self.models


class Reconciled:
    """A controller with one voice, one pool and these workers."""

    def __init__(self, *workers: FakeWorker) -> None:
        self.api = FakeApi()
        named = {f"worker-{number}": worker for number, worker in enumerate(workers)}
        fleet = SimpleNamespace(workers_of=lambda _: named)
        self.controller = Controller(
            api=cast("Api", self.api), store=Store(), fleet=cast("Fleet", fleet), metrics=Metrics()
        )
        self.later: list[tuple[WorkItem, float]] = []
        self.controller.queue.add_later = lambda item, delay_s: self.later.append((item, delay_s))  # type: ignore[method-assign]
        self.controller.observe("TTSWorkerPool", body("pool", {"image": "worker:1"}), gone=False)
        self.controller.observe("VoiceModel", body("joe", {"family": "mock"}), gone=False)
        model = self.controller._store.models[ITEM.key]
        self.declaration = self.controller._desired.request_of(model).declaration

    async def status(self) -> dict[str, Any]:
        """Reconcile once more, and return the last written status."""
        await self.controller.reconcile(ITEM)
        return self.api.statuses[-1][1]

    def resident(self, *, references: int = 0) -> tts_pb2.ModelStatus:
        return tts_pb2.ModelStatus(
            model_id="joe",
            state=tts_pb2.MODEL_STATE_RESIDENT,
            declaration=self.declaration,
            references=references,
        )


@pytest.mark.parametrize(
    ("of_this", "error", "reason", "degraded"),
    [
        (True, UNKNOWN_VOICE, "UnknownVoice", "True"),
        (False, UNKNOWN_VOICE, "Waiting", "False"),
        (True, None, "Waiting", "False"),
    ],
    ids=["refused", "another declaration was", "the call was taken"],
)
def test_a_refused_call_is_reported_while_its_declaration_is_current(
    of_this: bool, error: Any, reason: str, degraded: str
) -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        made = Reconciled(worker)
        declaration = made.declaration if of_this else "voiceplane.dev/voicemodel/speech/joe/uid-joe/older"
        worker.retries["joe"] = RetryState(declaration=declaration, error=error, attempts=1, retry_at=5.0)
        status = await made.status()
        assert status["phase"] == reason
        said = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
        assert said["Degraded"][0] == degraded
        assert made.api.events == [("Warning" if degraded == "True" else "Normal", reason)]

    virtual_time.run(scenario())


def test_a_missing_family_is_reported_until_a_worker_has_it() -> None:
    async def scenario() -> None:
        piper = FakeWorker(family="piper")
        made = Reconciled(piper)
        status = await made.status()
        conditions = {each["type"]: each for each in status["conditions"]}
        for kind, value in (("Ready", "False"), ("Degraded", "True")):
            assert (conditions[kind]["status"], conditions[kind]["reason"]) == (value, "FamilyNotAvailable")
            assert "piper" in conditions[kind]["message"]
        assert made.api.events == [("Warning", "FamilyNotAvailable")]
        piper.families["mock"] = tts_pb2.Family(name="mock")
        assert (await made.status())["phase"] == "Waiting"
        assert made.api.events[-1] == ("Normal", "Waiting")

    virtual_time.run(scenario())


def test_only_connected_workers_with_the_family_count() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        made = Reconciled(worker, FakeWorker(reachable=False), FakeWorker(family="piper"))
        worker.models["joe"] = made.resident()
        status = await made.status()
        assert (status["residency"], status["phase"]) == ("1/1", "Resident")

    virtual_time.run(scenario())


def test_session_counts_are_written_at_intervals_and_all_else_at_once() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        made = Reconciled(worker)
        for references in range(3):
            worker.models["joe"] = made.resident(references=references)
            await made.controller.reconcile(ITEM)
            await asyncio.sleep(1.0)
        assert [status["sessions"] for _, status in made.api.statuses] == [0]
        assert made.later == [(ITEM, VOLATILE_EVERY_S - 1.0), (ITEM, VOLATILE_EVERY_S - 2.0)]
        await asyncio.sleep(VOLATILE_EVERY_S - 3.0)
        assert (await made.status())["sessions"] == 2
        del worker.models["joe"]
        assert (await made.status())["phase"] == "Waiting"
        assert [at_s for at_s, _ in made.api.statuses] == [0.0, VOLATILE_EVERY_S, VOLATILE_EVERY_S]
        assert made.api.events == [("Normal", "Resident"), ("Normal", "Waiting")], (
            "a change of session counts is no event"
        )

    virtual_time.run(scenario())


def test_the_progress_of_a_fetch_is_written_once_a_second() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        made = Reconciled(worker)
        for tenth in range(25):
            model = made.resident()
            model.state = tts_pb2.MODEL_STATE_FETCHING
            model.fetched_bytes, model.fetch_bytes, model.fetch_bytes_per_s = 1_000_000 * tenth, 25_000_000, 10_000_000
            worker.models["joe"] = model
            await made.controller.reconcile(ITEM)
            await asyncio.sleep(0.1)
        assert [round(at_s) for at_s, _ in made.api.statuses] == [0, 1, 2]
        done = [status["workers"][0]["fetchedBytes"] for _, status in made.api.statuses]
        assert [round(each / 1e7) for each in done] == [0, 1, 2]
        worker.models["joe"] = made.resident()
        assert (await made.status())["phase"] == "Resident"  # at once

    virtual_time.run(scenario())
