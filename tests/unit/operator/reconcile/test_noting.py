"""What an operator does with news: nothing before it knows all, nothing for an old version, once for many at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.controller import Controller
from voiceplane_operator.reconcile.queue import Job
from voiceplane_operator.reconcile.store import Store

from tests.support import virtual_time

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api
    from voiceplane_operator.workers.fleet import Fleet
    from voiceplane_proto.v1 import tts_pb2

NAMESPACE = "speech"
POOL = Key(NAMESPACE, "pool")


class FakeLink:
    """Remembers what it is told to have."""

    state = None

    def __init__(self) -> None:
        self.told: list[list[str]] = []

    def want(self, wanted: dict[str, tts_pb2.LoadModelRequest]) -> None:
        self.told.append(sorted(wanted))


class FakeFleet:
    """One worker in each pool."""

    def __init__(self) -> None:
        self.link = FakeLink()

    def links_of(self, _: Key) -> dict[str, FakeLink]:
        return {"worker": self.link}


def body(name: str, spec: dict[str, Any], *, version: int = 1, **metadata: Any) -> dict[str, Any]:
    known = {"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}", "generation": 1}
    return {"metadata": known | {"resourceVersion": str(version)} | metadata, "spec": spec}


def pool(**spec: Any) -> dict[str, Any]:
    return body("pool", {"image": "worker:1"} | spec)


def voice(name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    return body(name, {"family": "mock"} | spec, version=version)


def prepared(*models: dict[str, Any]) -> tuple[Controller, FakeLink, list[Job]]:
    fleet, asked = FakeFleet(), list[Job]()
    controller = Controller(api=cast("Api", None), store=Store(), fleet=cast("Fleet", fleet), metrics=Metrics())
    controller.queue.add = asked.append  # type: ignore[assignment,method-assign]
    controller.noted("TTSWorkerPool", pool(), gone=False)
    for model in models:
        controller.noted("VoiceModel", model, gone=False)
    return controller, fleet.link, asked


async def settled() -> None:
    await asyncio.sleep(1.0)


def test_no_worker_is_told_before_all_models_are_known() -> None:
    async def scenario() -> None:
        controller, link, _ = prepared()
        await settled()
        assert link.told == []  # it would have to unload what is not known yet
        controller.noted("VoiceModel", voice("joe"), gone=False)
        controller.resync()
        assert link.told == [["joe"]]

    virtual_time.run(scenario())


def test_what_is_refused_is_told_to_no_worker_not_even_at_first() -> None:
    async def scenario() -> None:
        lora = {"baseModelRef": {"name": "missing"}, "source": {"uri": "file:///lora"}}
        controller, link, _ = prepared(voice("joe"), voice("tuned", lora=lora))
        controller.resync()
        assert link.told == [["joe"]]

    virtual_time.run(scenario())


def test_models_of_one_apply_are_told_together() -> None:
    async def scenario() -> None:
        controller, link, asked = prepared()
        controller.resync()
        await settled()
        link.told.clear()
        for number in range(50):
            controller.noted("VoiceModel", voice(f"voice-{number:02}"), gone=False)
        await settled()
        assert [len(told) for told in link.told] == [50]
        assert Job("VoiceModel", Key(NAMESPACE, "voice-49")) in asked

    virtual_time.run(scenario())


def test_a_status_asks_for_its_own_object_alone() -> None:
    async def scenario() -> None:
        controller, link, asked = prepared(voice("joe"), voice("amy"))
        controller.resync()
        await settled()
        link.told.clear()
        asked.clear()
        controller.noted("VoiceModel", voice("joe", version=2) | {"status": {"phase": "Resident"}}, gone=False)
        await settled()
        assert asked == [Job("VoiceModel", Key(NAMESPACE, "joe"))]
        assert link.told == []

    virtual_time.run(scenario())


def test_an_older_version_that_comes_later_is_passed_by() -> None:
    async def scenario() -> None:
        controller, link, _ = prepared(voice("joe", 9, modelId="new"), voice("joe", 8, modelId="old"))
        controller.resync()
        assert link.told == [["new"]]

    virtual_time.run(scenario())


def test_news_of_a_deployment_ask_for_its_pool_alone() -> None:
    async def scenario() -> None:
        controller, link, asked = prepared(voice("joe"))
        controller.resync()
        await settled()
        link.told.clear()
        for deployment in ({"metadata": {"generation": 2}}, None):
            asked.clear()
            controller.deployment_changed(Key(NAMESPACE, "pool-tts"), deployment)
            assert asked == [Job("TTSWorkerPool", POOL)]
        assert controller.deployments == {}
        assert link.told == []

    virtual_time.run(scenario())


def test_a_worker_asks_only_for_the_models_that_it_has_news_of() -> None:
    async def scenario() -> None:
        controller, _, asked = prepared(voice("joe"), voice("amy"))
        controller.pool_changed(POOL, frozenset({"amy"}))
        assert asked == [Job("TTSWorkerPool", POOL), Job("VoiceModel", Key(NAMESPACE, "amy"))]
        asked.clear()
        controller.pool_changed(POOL, None)
        assert len(asked) == 3

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("age_s", "replicas"),
    [(0, 1), (100, 1), (-30, 1), (130, 0), (None, 0)],
    ids=["now", "lately", "ahead", "old", "never"],
)
def test_a_session_without_a_worker_brings_a_pool_back_from_zero(age_s: int | None, replicas: int) -> None:
    async def scenario() -> None:
        controller, _, _ = prepared()
        when = "" if age_s is None else (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        autoscaling = {"minReplicas": 0, "maxReplicas": 3, "targetSessionsPerWorker": 4}
        declared = body("pool", {"image": "worker:1", "autoscaling": autoscaling})
        declared["metadata"]["annotations"] = {"voiceplane.dev/demand-at": when}
        controller.noted("TTSWorkerPool", declared, gone=False)
        controller.deployments[POOL] = {"spec": {"replicas": 0}}
        known = controller._store.pools[POOL]
        assert controller._replicas(Job("TTSWorkerPool", POOL), known) == replicas

    virtual_time.run(scenario())
