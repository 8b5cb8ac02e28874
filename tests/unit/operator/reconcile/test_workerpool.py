"""Reconciling a TTSWorkerPool: calls of the API server, and no call when nothing has changed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.kube.api import Api, ApiError, Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.controller import Controller
from voiceplane_operator.reconcile.store import Store
from voiceplane_operator.reconcile.work_queue import WorkItem
from voiceplane_operator.reconcile.workerpool import DELETION_COST_SETTLES_S
from voiceplane_operator.workers.fleet import Fleet
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = Key("speech", "p")
ITEM = WorkItem("TTSWorkerPool", KEY)


class FakeApi:
    """Accepts all calls, or refuses a kind with a status."""

    def __init__(self) -> None:
        self.calls = 0
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.refusals: dict[str, int] = {}
        self.generations: dict[str, int] = {}
        self.pool: dict[str, Any] = {}

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        kind = manifest["kind"]
        self.made.append((kind, dict(manifest) | {"at_s": asyncio.get_running_loop().time()}))
        if kind in self.refusals:
            raise ApiError(self.refusals[kind], "Invalid", "no such field")
        generation = self.generations[kind] = self.generations.get(kind, 0) + 1
        return dict(manifest) | {"metadata": dict(manifest["metadata"]) | {"generation": generation}}

    async def replace_status(self, *_: str, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        self.made.append(("status", dict(status)))
        return self.pool | {"status": status}

    async def annotate(self, *where: str | dict[str, str]) -> None:
        self.made.append(("rank", {"pod": where[3], "at_s": asyncio.get_running_loop().time()}))

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.made.append((manifest["kind"], dict(manifest)))
        return dict(manifest)

    def taken(self) -> list[str]:
        """The kinds of the calls since the last time."""
        kinds = [kind for kind, _ in self.made]
        self.made.clear()
        return kinds


def prepared(**spec: Any) -> tuple[Controller, FakeApi]:
    api, store, metrics = FakeApi(), Store(), Metrics()
    api.pool = {
        "metadata": {"namespace": "speech", "name": "p", "uid": "1", "generation": 1},
        "spec": {"image": "worker:1", "defaultModel": "first"} | spec,
    }
    fleet = Fleet(changed=lambda *_: None, metrics=metrics)
    controller = Controller(api=cast("Api", api), store=store, fleet=fleet, metrics=metrics)
    controller.observe("TTSWorkerPool", api.pool, gone=False)
    return controller, api


def test_an_unchanged_pool_causes_no_call() -> None:
    async def scenario() -> None:
        controller, api = prepared()
        await controller.reconcile(ITEM)
        owned = ["ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget", "Deployment"]
        assert api.taken() == [*owned, "status", "Event"]
        await controller.reconcile(ITEM)
        assert api.taken() == []

    virtual_time.run(scenario())


def test_an_edited_deployment_is_applied_again_once() -> None:
    async def scenario() -> None:
        controller, api = prepared(replicas=2)
        await controller.reconcile(ITEM)
        applied = next(made for kind, made in api.made if kind == "Deployment")
        api.taken()

        async def asked_for_with(generation: int) -> list[str]:
            seen = applied | {"metadata": applied["metadata"] | {"generation": generation}}
            controller.deployment_changed(Key("speech", "p-tts"), seen)
            await controller.reconcile(ITEM)
            return [kind for kind in api.taken() if kind != "status"]

        assert await asked_for_with(1) == []
        assert await asked_for_with(2) == ["Deployment"]
        assert await asked_for_with(2) == []  # the generation of our own apply
        assert await asked_for_with(1) == []  # a late event
        assert await asked_for_with(3) == ["Deployment"]

    virtual_time.run(scenario())


def test_a_deleted_deployment_is_applied_again() -> None:
    async def scenario() -> None:
        controller, api = prepared()
        await controller.reconcile(ITEM)
        api.taken()
        controller.deployment_changed(Key("speech", "p-tts"), None)
        await controller.reconcile(ITEM)
        assert api.taken() == ["Deployment"]

    virtual_time.run(scenario())


def test_a_resync_applies_all_objects_again() -> None:
    async def scenario() -> None:
        controller, api = prepared()
        await controller.reconcile(ITEM)
        first = [kind for kind in api.taken() if kind not in {"status", "Event"}]
        controller.resync()
        await controller.reconcile(ITEM)
        assert api.taken() == first

    virtual_time.run(scenario())


def test_a_refused_manifest_becomes_the_pools_condition() -> None:
    async def scenario() -> None:
        controller, api = prepared()
        api.refusals["Deployment"] = 422
        with pytest.raises(ApiError, match="422 Invalid"):  # so that the item is requeued
            await controller.reconcile(ITEM)
        status = next(made for kind, made in api.made if kind == "status")
        assert status["phase"] == "Refused"
        assert "no such field" in status["conditions"][0]["message"]

    virtual_time.run(scenario())


def test_after_a_restart_the_pool_scales_down_when_due() -> None:
    async def scenario() -> None:
        autoscaling = {"minReplicas": 1, "maxReplicas": 5, "targetQueueDepth": 2, "scaleDownDelaySeconds": 30}
        controller, api = prepared(autoscaling=autoscaling)
        present = {"metadata": {"generation": 1}, "spec": {"replicas": 4}, "status": {"readyReplicas": 0}}
        controller.deployment_changed(Key("speech", "p-tts"), present)
        working = asyncio.create_task(controller.queue.run(workers=1))
        await asyncio.sleep(60.0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        sizes = [made["spec"]["replicas"] for kind, made in api.made if kind == "Deployment"]
        assert sizes[0] == 4
        assert sizes[-1] == 1

    virtual_time.run(scenario())


def test_deletion_costs_are_set_before_a_scale_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        controller, api = prepared(replicas=2)
        busy = tts_pb2.WorkerState(ready=True, load=tts_pb2.Load(sessions=3))
        workers = {"busy": SimpleNamespace(state=busy, families={}, set_desired=lambda _: None)}
        pods = {name: {"metadata": {"name": name}, "status": {}} for name in ("idle", "busy", "strange")}
        monkeypatch.setattr(controller._pools._fleet, "workers_of", lambda _: workers)
        monkeypatch.setattr(controller._pools._fleet, "pods_of", lambda _: pods)
        await controller.reconcile(ITEM)
        ranks = [made for kind, made in api.made if kind == "rank"]
        shrunk = next(made for kind, made in api.made if kind == "Deployment")
        assert [rank["pod"] for rank in ranks] == ["busy"]
        assert shrunk["at_s"] - ranks[0]["at_s"] >= DELETION_COST_SETTLES_S

    virtual_time.run(scenario())


def test_a_new_degradation_of_a_ready_pool_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        controller, api = prepared()
        worker = SimpleNamespace(
            state=tts_pb2.WorkerState(ready=True),
            families={"mock": tts_pb2.Family(name="mock")},
            set_desired=lambda _: None,
        )
        monkeypatch.setattr(controller._pools._fleet, "workers_of", lambda _: {"w1": worker})
        ready = {"metadata": {"generation": 1}, "spec": {}, "status": {"readyReplicas": 1, "replicas": 1}}
        controller.deployment_changed(Key("speech", "p-tts"), ready)
        await controller.reconcile(ITEM)
        api.taken()
        metadata = {"namespace": "speech", "name": "first", "uid": "2", "generation": 1}
        controller.observe("VoiceModel", {"metadata": metadata, "spec": {"family": "festival"}}, gone=False)
        for _ in range(2):
            await controller.reconcile(ITEM)
        events = [made for kind, made in api.made if kind == "Event"]
        assert [(each["type"], each["reason"]) for each in events] == [("Warning", "FamilyNotAvailable")]
        assert "festival" in events[0]["message"]

    virtual_time.run(scenario())
