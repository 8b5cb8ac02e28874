"""The operator with an API server that is restarted, with several namespaces, and with restarted workers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from voiceplane_common.kube.api import Api, ApiError
from voiceplane_common.kube.names import API_VERSION

from bench import operator as bench
from tests.support.chart import NAMESPACE
from tests.support.fake_workers import fake_workers
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.control_plane import ControlPlane

# The first one may build Kubernetes.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

OTHER = "elsewhere"
_hosts = (f"127.0.9.{number}" for number in itertools.count(1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    """The administrator's client, with a running operator."""
    account = await asyncio.to_thread(bench.prepare, plane)
    plane.kubectl("create", "namespace", OTHER)
    api = await Api.connect(str(plane.kubeconfig), field_manager="test")
    async with bench.operator(account, free_port()):
        yield api
        await api.close()


def pool(namespace: str, name: str = "pool") -> dict[str, Any]:
    made = bench.pool(0)
    made["metadata"] = {"name": name, "namespace": namespace}
    made["spec"] |= {"replicas": 1}
    return made


def voice(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "VoiceModel", "metadata": metadata, "spec": {"family": "mock"} | spec}


async def until_resident(api: Api, namespace: str, name: str) -> None:
    """Wait until a voice is resident on one worker."""

    async def is_resident() -> bool:
        try:
            found = await api.get(API_VERSION, "VoiceModel", namespace, name)
        except ApiError as error:
            if error.status:
                raise
            return False  # the API server is down
        status = found.get("status") or {}
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(seen and status.get("resident") == 1)

    await bench.until(is_resident)


async def test_one_id_in_two_namespaces_is_two_voices(plane: ControlPlane, api: Api) -> None:
    hosts = {NAMESPACE: next(_hosts), OTHER: next(_hosts)}
    async with fake_workers(hosts.values()) as workers:
        for namespace, host in hosts.items():
            await api.apply(pool(namespace))
            await bench.make_pods_run(api, [host], namespace=namespace)
            await api.apply(voice(namespace, f"of-{namespace}", modelId="shared"))
        for namespace, host in hosts.items():
            await until_resident(api, namespace, f"of-{namespace}")
            assert f"/{namespace}/of-{namespace}/" in workers[host].models["shared"].declaration
    await leave(plane, api)


async def leave(plane: ControlPlane, api: Api) -> None:
    """Delete the test's custom resources; the garbage collector deletes the owned objects."""
    for namespace in (NAMESPACE, OTHER):
        await asyncio.to_thread(plane.kubectl, "delete", "vmodel,ttspool", "--all", "--namespace", namespace)

        async def are_gone(namespace: str = namespace) -> bool:
            kinds = (("v1", "Pod"), ("apps/v1", "Deployment"))
            return not any([(await api.list(*kind, namespace))["items"] for kind in kinds])

        await bench.until(are_gone)


async def test_a_restarted_worker_gets_its_voices(plane: ControlPlane, api: Api) -> None:
    host = next(_hosts)
    async with fake_workers([host]):
        await api.apply(pool(NAMESPACE))
        await bench.make_pods_run(api, [host])
        await api.apply(voice(NAMESPACE, "kept"))
        await until_resident(api, NAMESPACE, "kept")
    async with fake_workers([host]) as workers:

        async def has_it() -> bool:
            return "kept" in workers[host].models

        await bench.until(has_it)
        await until_resident(api, NAMESPACE, "kept")
    await leave(plane, api)


# The last test: after an outage of the API server the garbage collector is slow.
async def test_changes_are_seen_after_an_api_server_outage(plane: ControlPlane, api: Api) -> None:
    host = next(_hosts)
    async with fake_workers([host]) as workers:
        await api.apply(pool(NAMESPACE))
        await bench.make_pods_run(api, [host])
        await api.apply(voice(NAMESPACE, "before"))
        await until_resident(api, NAMESPACE, "before")
        await asyncio.to_thread(plane.restart_api)
        await api.apply(voice(NAMESPACE, "after"))
        await until_resident(api, NAMESPACE, "after")
        assert workers[host].loads == 2
