"""What endpoints mean for sessions, and which pools a session may wake."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.kube.api import Api, ApiError
from voiceplane_orchestrator.app import make_discovery
from voiceplane_orchestrator.discovery.kubernetes import KubernetesDiscovery, pools_to_scale_up, worker_addresses
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.settings import DiscoverySection, OrchestratorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def slice_of(*endpoints: dict[str, Any], port: int = 50051) -> dict[str, Any]:
    ports = [{"name": "metrics", "port": 9090}, {"name": "grpc", "port": port}]
    return {"ports": ports, "endpoints": list(endpoints)}


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, {"10.0.0.1:50051": True}),
        ({"ready": True, "serving": True, "terminating": False}, {"10.0.0.1:50051": True}),
        ({"ready": False, "serving": False, "terminating": False}, {"10.0.0.1:50051": False}),
        ({"ready": False, "serving": True, "terminating": True}, {}),
        ({"ready": False, "serving": False, "terminating": True}, {}),
    ],
    ids=["unsaid", "ready", "starting", "draining", "ending"],
)
def test_conditions_decide(conditions: dict[str, bool], found: dict[str, bool]) -> None:
    assert worker_addresses([slice_of(endpoint("10.0.0.1", **conditions))]) == found


def test_the_port_of_that_name_and_ipv6() -> None:
    assert worker_addresses([slice_of(endpoint("fd00::1", ready=True), port=6000)]) == {"[fd00::1]:6000": True}
    assert worker_addresses([{"endpoints": [endpoint("10.0.0.1")]}]) == {"10.0.0.1:50051": True}


def test_an_endpoint_of_two_slices_is_one_worker_and_one_yes_is_enough() -> None:
    slices = [slice_of(endpoint("10.0.0.1", ready=False)), slice_of(endpoint("10.0.0.1", ready=True))]
    assert worker_addresses(slices) == worker_addresses(reversed(slices)) == {"10.0.0.1:50051": True}


def test_a_slice_may_be_empty() -> None:
    assert worker_addresses([{"ports": None, "endpoints": None}]) == {}


def pool(name: str, *, labels: dict[str, str] | None = None, ready: int = 0, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"autoscaling": {}} | spec, "status": {"readyReplicas": ready}}


def voice(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


POOLS = [
    pool("default", defaultModel="joe"),
    pool("preloaded", preload=["amy"]),
    pool("gpu", labels={"tier": "gpu"}),
    pool("busy", ready=1, defaultModel="joe", labels={"tier": "gpu"}),
    {"metadata": {"name": "fixed"}, "spec": {"replicas": 0, "defaultModel": "joe"}},
]
MODELS = [
    voice("big", poolSelector={"matchLabels": {"tier": "gpu"}}),
    voice("named", modelId="other", poolSelector={"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
]


@pytest.mark.parametrize(
    ("model_id", "names"),
    [
        ("", ["default"]),
        ("joe", ["default"]),
        ("amy", ["preloaded"]),
        ("big", ["gpu"]),
        ("other", ["default", "preloaded"]),
        ("named", []),
        ("unheard-of", []),
    ],
)
def test_a_session_wakes_the_pools_that_would_serve_it(model_id: str, names: list[str]) -> None:
    assert pools_to_scale_up(POOLS, MODELS, model_id) == names


async def test_without_a_cluster_the_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(VoiceplaneError, match=r"API server.*set KUBECONFIG") as failure:
        await KubernetesDiscovery(selector="").start()
    assert failure.value.reason == "NO_CLUSTER"


class FakeApi:
    """A cluster of one namespace: its pools and voices, and a watch whose events the test gives."""

    def __init__(self, slices: list[dict[str, Any]] | None = None) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {
            "EndpointSlice": slices or [],
            "TTSWorkerPool": POOLS,
            "VoiceModel": MODELS,
        }
        self.events: asyncio.Queue[dict[str, Any] | ApiError] = asyncio.Queue()
        self.lists: list[str] = []
        self.asked_for: list[str] = []
        self.refusal: ApiError | None = None

    async def list(self, _: str, kind: str, *__: object) -> dict[str, Any]:
        self.lists.append(kind)
        if self.refusal:
            raise self.refusal
        return {"items": self.items[kind], "metadata": {"resourceVersion": "1"}}

    async def watch(self, *_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        while True:
            event = await self.events.get()
            if isinstance(event, ApiError):
                raise event
            yield event

    async def annotate(self, *where: Any) -> None:
        self.asked_for.append(where[3])

    async def close(self) -> None:
        """Nothing is held."""


def named(endpoint_slice: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": "speech", "name": "a", "resourceVersion": "2"}, **endpoint_slice}


@contextlib.asynccontextmanager
async def discovering(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubernetesDiscovery]:
    async def connect(*_: object, **__: object) -> FakeApi:
        return api

    monkeypatch.setattr(Api, "connect", connect)
    discovery = KubernetesDiscovery(namespaces=["speech"], selector="")
    await discovery.start()
    try:
        async with asyncio.timeout(10):
            yield discovery
    finally:
        await discovery.aclose()


async def test_a_broken_watch_keeps_the_workers_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi([named(slice_of(endpoint("10.0.0.1", ready=True)))])
    async with discovering(api, monkeypatch) as discovery:
        watch = aiter(discovery.watch())
        assert await anext(watch) == {"10.0.0.1:50051": True}
        api.events.put_nowait(ApiError(0, "Unreachable", "no answer"))
        both = slice_of(endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=False))
        api.events.put_nowait({"type": "MODIFIED", "object": named(both)})
        assert await anext(watch) == {"10.0.0.1:50051": True, "10.0.0.2:50051": False}
        assert api.lists == ["EndpointSlice"] * 2, "what is there is read again: etcd may have been restored"
        api.events.put_nowait({"type": "DELETED", "object": named(both)})
        assert await anext(watch) == {}


async def test_a_pool_is_asked_for_once_however_many_sessions_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    async with discovering(api, monkeypatch) as discovery:
        wanted = ["joe", "", "unheard-of", *(f"guess-{number}" for number in range(50))]
        answers = await asyncio.gather(*(discovery.demand(model_id) for model_id in wanted))
    assert answers == [True, True, *[False] * 51]
    assert api.asked_for == ["default"]
    assert sorted(api.lists) == ["EndpointSlice", "TTSWorkerPool", "VoiceModel"]


async def test_who_may_not_look_at_pools_wakes_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = FakeApi()
    async with discovering(api, monkeypatch) as discovery:
        api.refusal = ApiError(403, "Forbidden", 'cannot list resource "ttsworkerpools"')
        assert not await discovery.demand("joe")
    assert "ttsworkerpools" in "".join(capsys.readouterr())


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.aio.config", None)
    monkeypatch.delitem(sys.modules, "voiceplane_orchestrator.discovery.kubernetes")
    with pytest.raises(VoiceplaneError, match=r"voiceplane-orchestrator\[kubernetes\]") as failure:
        make_discovery(OrchestratorSettings(discovery=DiscoverySection(kind="kubernetes")), Metrics())
    assert failure.value.reason == "EXTRA_MISSING"
