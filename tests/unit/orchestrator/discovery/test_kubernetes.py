"""What endpoints mean for sessions, and which pools a session may wake."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.discovery.kubernetes import KubernetesDiscovery, offers, wakeable


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
    assert offers([slice_of(endpoint("10.0.0.1", **conditions))]) == found


def test_the_port_of_that_name_and_ipv6() -> None:
    assert offers([slice_of(endpoint("fd00::1", ready=True), port=6000)]) == {"[fd00::1]:6000": True}
    assert offers([{"endpoints": [endpoint("10.0.0.1")]}]) == {"10.0.0.1:50051": True}


def test_an_endpoint_of_two_slices_is_one_worker_and_one_yes_is_enough() -> None:
    slices = [slice_of(endpoint("10.0.0.1", ready=False)), slice_of(endpoint("10.0.0.1", ready=True))]
    assert offers(slices) == offers(reversed(slices)) == {"10.0.0.1:50051": True}


def test_a_slice_may_be_empty() -> None:
    assert offers([{"ports": None, "endpoints": None}]) == {}


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
    assert wakeable(POOLS, MODELS, model_id) == names


async def test_without_a_cluster_the_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(VoiceplaneError, match=r"no way to the API server.*set KUBECONFIG") as failure:
        await KubernetesDiscovery(selector="").start()
    assert failure.value.reason == "NO_CLUSTER"
