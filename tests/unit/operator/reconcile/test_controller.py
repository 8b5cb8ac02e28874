"""Which objects a change enqueues, and when workers get their models."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.controller import Controller
from voiceplane_operator.reconcile.store import Store
from voiceplane_operator.reconcile.work_queue import WorkItem

from tests.support import virtual_time

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api
    from voiceplane_operator.workers.fleet import Fleet
    from voiceplane_proto.v1 import tts_pb2

NAMESPACE = "speech"
POOL = Key(NAMESPACE, "pool")


class FakeWorker:
    """Records the models that it must have."""

    state = None

    def __init__(self) -> None:
        self.sent: list[list[str]] = []

    def set_desired(self, desired: dict[str, tts_pb2.LoadModelRequest]) -> None:
        self.sent.append(sorted(desired))


class FakeFleet:
    """One worker in each pool."""

    def __init__(self) -> None:
        self.worker = FakeWorker()

    def workers_of(self, _: Key) -> dict[str, FakeWorker]:
        return {"worker": self.worker}


def body(name: str, spec: dict[str, Any], *, version: int = 1, **metadata: Any) -> dict[str, Any]:
    known = {"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}", "generation": 1}
    return {"metadata": known | {"resourceVersion": str(version)} | metadata, "spec": spec}


def pool(**spec: Any) -> dict[str, Any]:
    return body("pool", {"image": "worker:1"} | spec)


def voice(name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    return body(name, {"family": "mock"} | spec, version=version)


def prepared(*models: dict[str, Any]) -> tuple[Controller, FakeWorker, list[WorkItem]]:
    fleet, queued = FakeFleet(), list[WorkItem]()
    controller = Controller(api=cast("Api", None), store=Store(), fleet=cast("Fleet", fleet), metrics=Metrics())
    controller.queue.add = queued.append  # type: ignore[assignment,method-assign]
    controller.observe("TTSWorkerPool", pool(), gone=False)
    for model in models:
        controller.observe("VoiceModel", model, gone=False)
    return controller, fleet.worker, queued


async def settled() -> None:
    await asyncio.sleep(1.0)


def test_workers_get_models_only_after_all_are_listed() -> None:
    async def scenario() -> None:
        controller, worker, _ = prepared()
        await settled()
        assert worker.sent == []  # it would unload the models that are not listed yet
        controller.observe("VoiceModel", voice("joe"), gone=False)
        controller.resync()
        assert worker.sent == [["joe"]]

    virtual_time.run(scenario())


def test_a_refused_model_reaches_no_worker() -> None:
    async def scenario() -> None:
        lora = {"baseModelRef": {"name": "missing"}, "source": {"uri": "file:///lora"}}
        controller, worker, _ = prepared(voice("joe"), voice("tuned", lora=lora))
        controller.resync()
        assert worker.sent == [["joe"]]

    virtual_time.run(scenario())


def test_models_of_one_apply_are_sent_together() -> None:
    async def scenario() -> None:
        controller, worker, queued = prepared()
        controller.resync()
        await settled()
        worker.sent.clear()
        for number in range(50):
            controller.observe("VoiceModel", voice(f"voice-{number:02}"), gone=False)
        await settled()
        assert [len(sent) for sent in worker.sent] == [50]
        assert WorkItem("VoiceModel", Key(NAMESPACE, "voice-49")) in queued

    virtual_time.run(scenario())


def test_a_status_change_enqueues_only_its_object() -> None:
    async def scenario() -> None:
        controller, worker, queued = prepared(voice("joe"), voice("amy"))
        controller.resync()
        await settled()
        worker.sent.clear()
        queued.clear()
        controller.observe("VoiceModel", voice("joe", version=2) | {"status": {"phase": "Resident"}}, gone=False)
        await settled()
        assert queued == [WorkItem("VoiceModel", Key(NAMESPACE, "joe"))]
        assert worker.sent == []

    virtual_time.run(scenario())


def test_a_late_older_version_is_ignored() -> None:
    async def scenario() -> None:
        controller, worker, _ = prepared(voice("joe", 9, modelId="new"), voice("joe", 8, modelId="old"))
        controller.resync()
        assert worker.sent == [["new"]]

    virtual_time.run(scenario())


def test_a_deployment_change_enqueues_only_its_pool() -> None:
    async def scenario() -> None:
        controller, worker, queued = prepared(voice("joe"))
        controller.resync()
        await settled()
        worker.sent.clear()
        for deployment in ({"metadata": {"generation": 2}}, None):
            queued.clear()
            controller.deployment_changed(Key(NAMESPACE, "pool-tts"), deployment)
            assert queued == [WorkItem("TTSWorkerPool", POOL)]
        assert controller._pools.deployments == {}
        assert worker.sent == []

    virtual_time.run(scenario())


def test_a_worker_change_enqueues_only_the_changed_models() -> None:
    async def scenario() -> None:
        controller, _, queued = prepared(voice("joe"), voice("amy"))
        controller.pool_changed(POOL, frozenset({"amy"}))
        assert queued == [WorkItem("TTSWorkerPool", POOL), WorkItem("VoiceModel", Key(NAMESPACE, "amy"))]
        queued.clear()
        controller.pool_changed(POOL, None)
        assert len(queued) == 3

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("age_s", "replicas"),
    [(0, 1), (100, 1), (-30, 1), (130, 0), (None, 0)],
    ids=["now", "lately", "ahead", "old", "never"],
)
def test_a_session_without_a_worker_scales_a_pool_up_from_zero(age_s: int | None, replicas: int) -> None:
    async def scenario() -> None:
        controller, _, _ = prepared()
        when = "" if age_s is None else (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        autoscaling = {"minReplicas": 0, "maxReplicas": 3, "targetSessionsPerWorker": 4}
        declared = body("pool", {"image": "worker:1", "autoscaling": autoscaling})
        declared["metadata"]["annotations"] = {"voiceplane.dev/demand-at": when}
        controller.observe("TTSWorkerPool", declared, gone=False)
        controller._pools.deployments[POOL] = {"spec": {"replicas": 0}}
        known = controller._store.pools[POOL]
        assert controller._pools._replicas(WorkItem("TTSWorkerPool", POOL), known) == replicas

    virtual_time.run(scenario())
