"""Discovery on a real API server, under a ServiceAccount that may do nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_orchestrator.discovery.kubernetes import KubernetesDiscovery

from tests.support.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# The first test may build Kubernetes.
pytestmark = pytest.mark.timeout(3600)

NAMESPACE = "speech"
TOLD_WITHIN_S = 1.0
SELECTOR = "app.kubernetes.io/name=voiceplane-worker"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "reader", "namespace": NAMESPACE},
    "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "reader", "namespace": NAMESPACE},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
    "subjects": [{"kind": "ServiceAccount", "name": "orchestrator", "namespace": NAMESPACE}],
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=True) as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        plane.kubectl("create", "serviceaccount", "orchestrator", "--namespace", NAMESPACE)
        for manifest in (ROLE, BINDING):
            plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        yield plane


@pytest.fixture
def account(plane: ControlPlane) -> Iterator[Path]:
    yield plane.kubeconfig_of("orchestrator", namespace=NAMESPACE)
    plane.kubectl("delete", "endpointslices", "--all", "--namespace", NAMESPACE)


def endpoint_slice(name: str = "pool-1", *, app: str = "voiceplane-worker", **conditions: bool) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": app}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": 50051, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.9.8.7"], "conditions": conditions}],
    }


async def apply(plane: ControlPlane, manifest: dict[str, Any]) -> None:
    await asyncio.to_thread(plane.kubectl, "apply", "-f", "-", stdin=json.dumps(manifest))


async def following(watch: AsyncIterator[dict[str, bool]], wanted: dict[str, bool]) -> float:
    """Read until the workers are these; when that was."""
    async with asyncio.timeout(30):
        async for found in watch:
            if found == wanted:
                return time.monotonic()
    raise AssertionError("the watch has ended")


async def test_every_change_of_an_endpoint_is_reported(plane: ControlPlane, account: Path) -> None:
    discovery = KubernetesDiscovery(namespaces=[NAMESPACE], selector=SELECTOR, kubeconfig=str(account))
    await discovery.start()
    watch = aiter(discovery.watch())
    try:
        await apply(plane, endpoint_slice("other", app="database", ready=True))
        await apply(plane, endpoint_slice(ready=False, serving=False))
        await following(watch, {"10.9.8.7:50051": False})
        await apply(plane, endpoint_slice(ready=True, serving=True))
        applied = time.monotonic()
        told = await following(watch, {"10.9.8.7:50051": True})
        print(f"told {max(0.0, told - applied) * 1000:.0f} ms after kubectl had returned")
        assert told - applied < TOLD_WITHIN_S
        await apply(plane, endpoint_slice(ready=False, serving=True, terminating=True))
        await following(watch, {})
        await apply(plane, endpoint_slice(ready=True))
        await following(watch, {"10.9.8.7:50051": True})
        await asyncio.to_thread(plane.kubectl, "delete", "endpointslice", "pool-1", "--namespace", NAMESPACE)
        await following(watch, {})
    finally:
        await discovery.aclose()
    assert await anext(watch, None) is None


async def test_changes_are_seen_after_the_api_server_was_away(plane: ControlPlane, account: Path) -> None:
    discovery = KubernetesDiscovery(namespaces=[NAMESPACE], selector=SELECTOR, kubeconfig=str(account))
    await apply(plane, endpoint_slice(ready=True))
    await discovery.start()
    watch = aiter(discovery.watch())
    try:
        await following(watch, {"10.9.8.7:50051": True})
        coming = asyncio.ensure_future(anext(watch))
        await asyncio.to_thread(plane.restart_api)
        assert not coming.done(), "the workers known last stay"
        await apply(plane, endpoint_slice(ready=False))
        async with asyncio.timeout(30):
            assert await coming == {"10.9.8.7:50051": False}
    finally:
        await discovery.aclose()


async def test_a_role_that_is_missing_is_said_and_waited_for(
    plane: ControlPlane, account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await apply(plane, endpoint_slice(ready=True))
    await asyncio.to_thread(plane.kubectl, "delete", "rolebinding", "reader", "--namespace", NAMESPACE)
    discovery = KubernetesDiscovery(namespaces=[NAMESPACE], selector=SELECTOR, kubeconfig=str(account))
    await discovery.start()
    watch = aiter(discovery.watch())
    try:
        async with asyncio.timeout(30):
            while "cannot list resource" not in (said := "".join(capsys.readouterr())):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.05)
        assert 'cannot list resource "endpointslices" in API group "discovery.k8s.io"' in said.replace("\\", "")
        await apply(plane, BINDING)
        await following(watch, {"10.9.8.7:50051": True})
    finally:
        await discovery.aclose()


async def test_a_pool_at_zero_is_marked_for_the_operator(plane: ControlPlane, account: Path) -> None:
    await asyncio.to_thread(plane.define)
    rules = [
        {"apiGroups": ["voiceplane.dev"], "resources": ["voicemodels"], "verbs": ["list"]},
        {"apiGroups": ["voiceplane.dev"], "resources": ["ttsworkerpools"], "verbs": ["list", "patch"]},
    ]
    await apply(plane, ROLE | {"rules": [*ROLE["rules"], *rules]})
    pool = {
        "apiVersion": "voiceplane.dev/v1alpha1",
        "kind": "TTSWorkerPool",
        "metadata": {"name": "sleepy", "namespace": NAMESPACE},
        "spec": {
            "image": "worker:1",
            "defaultModel": "joe",
            "autoscaling": {"minReplicas": 0, "maxReplicas": 2, "targetSessionsPerWorker": 1},
        },
    }
    await apply(plane, pool)
    discovery = KubernetesDiscovery(namespaces=[NAMESPACE], selector=SELECTOR, kubeconfig=str(account))
    await discovery.start()
    try:
        assert await discovery.demand("joe")
        assert not await discovery.demand("unheard-of")
    finally:
        await discovery.aclose()
    path = "jsonpath={.metadata.annotations.voiceplane\\.dev/demand-at}"
    get = ("get", "ttspool", "sleepy", "--namespace", NAMESPACE, "-o", path)
    assert (await asyncio.to_thread(plane.kubectl, *get)).startswith("20")
