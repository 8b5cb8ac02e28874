"""What a VoiceModel's reconcile makes of its workers, and when it writes that."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.errors import invalid
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.controller import VOLATILE_EVERY_S, Controller
from voiceplane_operator.reconcile.queue import Job
from voiceplane_operator.reconcile.store import Store
from voiceplane_operator.workers.convergence import Setback
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time
from tests.unit.operator.objects import NAMESPACE, body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.kube.api import Api
    from voiceplane_operator.workers.fleet import Fleet

JOB = Job("VoiceModel", Key(NAMESPACE, "joe"))
UNKNOWN_VOICE = invalid("voices", "model 'joe' has no voice 'x'", reason="UNKNOWN_VOICE")


class FakeApi:
    """Keeps what is written: statuses with their time, and the reasons of events."""

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


class FakeLink:
    """A worker that says what a test lets it say of the model `joe`."""

    def __init__(self, *, family: str = "mock", reachable: bool = True) -> None:
        self.name = "worker"
        self.usable = True
        self.families = frozenset({family})
        self.state = tts_pb2.WorkerState(ready=True) if reachable else None
        self.setbacks: dict[str, Setback] = {}
        self.models: dict[str, tts_pb2.ModelStatus] = {}

    def reported(self) -> dict[str, tts_pb2.ModelStatus]:
        return self.models


class Reconciled:
    """A controller that knows one voice, one pool and these workers."""

    def __init__(self, *links: FakeLink) -> None:
        self.api = FakeApi()
        named = {f"worker-{number}": link for number, link in enumerate(links)}
        fleet = SimpleNamespace(links_of=lambda _: named)
        self.controller = Controller(
            api=cast("Api", self.api), store=Store(), fleet=cast("Fleet", fleet), metrics=Metrics()
        )
        self.later: list[tuple[Job, float]] = []
        self.controller.queue.add_later = lambda job, delay_s: self.later.append((job, delay_s))  # type: ignore[method-assign]
        self.controller.noted("TTSWorkerPool", body("pool", {"image": "worker:1"}), gone=False)
        self.controller.noted("VoiceModel", body("joe", {"family": "mock"}), gone=False)
        model = self.controller._store.models[JOB.key]
        self.declaration = self.controller._request(model).declaration

    async def status(self) -> dict[str, Any]:
        """The one that was written last, after another reconcile."""
        await self.controller.reconcile(JOB)
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
def test_a_refused_call_is_told_for_as_long_as_its_declaration_stands(
    of_this: bool, error: Any, reason: str, degraded: str
) -> None:
    async def scenario() -> None:
        link = FakeLink()
        made = Reconciled(link)
        declaration = made.declaration if of_this else "voiceplane.dev/voicemodel/speech/joe/uid-joe/older"
        link.setbacks["joe"] = Setback(declaration=declaration, error=error, attempts=1, retry_at=5.0)
        status = await made.status()
        assert status["phase"] == reason
        said = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
        assert said["Degraded"][0] == degraded
        assert made.api.events == [("Warning" if degraded == "True" else "Normal", reason)]

    virtual_time.run(scenario())


def test_only_workers_that_answer_and_have_the_family_are_to_have_it() -> None:
    async def scenario() -> None:
        link = FakeLink()
        made = Reconciled(link, FakeLink(reachable=False), FakeLink(family="piper"))
        link.models["joe"] = made.resident()
        status = await made.status()
        assert (status["residency"], status["phase"]) == ("1/1", "Resident")

    virtual_time.run(scenario())


def test_what_changes_with_every_session_is_written_now_and_then_and_the_rest_at_once() -> None:
    async def scenario() -> None:
        link = FakeLink()
        made = Reconciled(link)
        for references in range(3):
            link.models["joe"] = made.resident(references=references)
            await made.controller.reconcile(JOB)
            await asyncio.sleep(1.0)
        assert [status["sessions"] for _, status in made.api.statuses] == [0]
        assert made.later == [(JOB, VOLATILE_EVERY_S - 1.0), (JOB, VOLATILE_EVERY_S - 2.0)]
        await asyncio.sleep(VOLATILE_EVERY_S - 3.0)
        assert (await made.status())["sessions"] == 2
        del link.models["joe"]
        assert (await made.status())["phase"] == "Waiting"
        assert [at_s for at_s, _ in made.api.statuses] == [0.0, VOLATILE_EVERY_S, VOLATILE_EVERY_S]
        assert made.api.events == [("Normal", "Resident"), ("Normal", "Waiting")], "sessions are no news to people"

    virtual_time.run(scenario())
