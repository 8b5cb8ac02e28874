"""The operator on an API server that dies, and over namespaces; with workers that have no voice."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from voiceplane_common.kube.api import Api, ApiError

from tests.bench import operator as bench
from tests.support.control_plane import ControlPlane
from tests.support.fake_workers import fake_workers
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# The first one may build Kubernetes.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

OTHER = "elsewhere"
_hosts = (f"127.0.9.{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=True) as plane:
        yield plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    """The administrator's, with an operator at work."""
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
    return {"apiVersion": bench.GROUP, "kind": "VoiceModel", "metadata": metadata, "spec": {"family": "mock"} | spec}


async def make_pod_run(api: Api, namespace: str, host: str) -> None:
    """Say of the namespace's pod that it runs at a host, once it is there."""
    pods: list[dict[str, Any]] = []

    async def is_there() -> bool:
        pods[:] = (await api.list("v1", "Pod", namespace))["items"]
        return len(pods) == 1

    await bench.until(is_there)
    status = {"phase": "Running", "podIP": host, "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = pods[0]["metadata"]
    await api.replace_status("v1", "Pod", namespace, metadata["name"], uid=metadata["uid"], status=status)


async def until_resident(api: Api, namespace: str, name: str) -> dict[str, Any]:
    """Until a voice is resident on one worker; its status."""
    status: dict[str, Any] = {}

    async def is_resident() -> bool:
        try:
            found = await api.get(bench.GROUP, "VoiceModel", namespace, name)
        except ApiError as error:
            if error.status:
                raise
            return False  # the API server is away
        status.update(found.get("status") or {})
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(seen and status.get("resident") == 1)

    await bench.until(is_resident)
    return status


async def test_one_id_in_two_namespaces_is_two_voices(plane: ControlPlane, api: Api) -> None:
    hosts = {bench.NAMESPACE: next(_hosts), OTHER: next(_hosts)}
    async with fake_workers(hosts.values()) as workers:
        for namespace, host in hosts.items():
            await api.apply(pool(namespace))
            await make_pod_run(api, namespace, host)
            await api.apply(voice(namespace, f"of-{namespace}", modelId="shared"))
        for namespace, host in hosts.items():
            await until_resident(api, namespace, f"of-{namespace}")
            assert f"/{namespace}/of-{namespace}/" in workers[host].models["shared"].declaration
    await leave(plane, api)


async def leave(plane: ControlPlane, api: Api) -> None:
    """Delete what a test has made; the garbage collector takes the rest."""
    for namespace in (bench.NAMESPACE, OTHER):
        await asyncio.to_thread(plane.kubectl, "delete", "vmodel,ttspool", "--all", "--namespace", namespace)

        async def are_gone(namespace: str = namespace) -> bool:
            kinds = (("v1", "Pod"), ("apps/v1", "Deployment"))
            return not any([(await api.list(*kind, namespace))["items"] for kind in kinds])

        await bench.until(are_gone)


async def test_a_worker_that_starts_anew_gets_its_voices(plane: ControlPlane, api: Api) -> None:
    host = next(_hosts)
    async with fake_workers([host]):
        await api.apply(pool(bench.NAMESPACE))
        await make_pod_run(api, bench.NAMESPACE, host)
        await api.apply(voice(bench.NAMESPACE, "kept"))
        await until_resident(api, bench.NAMESPACE, "kept")
    async with fake_workers([host]) as workers:

        async def has_it() -> bool:
            return "kept" in workers[host].models

        await bench.until(has_it)
        await until_resident(api, bench.NAMESPACE, "kept")
    await leave(plane, api)


async def test_what_others_change_of_a_deployment_is_put_back(plane: ControlPlane, api: Api) -> None:
    await api.apply(pool(bench.NAMESPACE))

    async def size() -> int | None:
        items = (await api.list("apps/v1", "Deployment", bench.NAMESPACE))["items"]
        return int(items[0]["spec"]["replicas"]) if items else None

    async def is_one() -> bool:
        return await size() == 1

    await bench.until(is_one)
    scale = ("scale", "deployment/pool-tts", "--namespace", bench.NAMESPACE, "--replicas=5")
    await asyncio.to_thread(plane.kubectl, *scale)
    await bench.until(is_one)
    await leave(plane, api)


# The last one: the garbage collector takes its time to find a server that has been away.
async def test_after_the_api_server_was_away_news_are_seen_and_nothing_is_asked_twice(
    plane: ControlPlane, api: Api
) -> None:
    host = next(_hosts)
    async with fake_workers([host]) as workers:
        await api.apply(pool(bench.NAMESPACE))
        await make_pod_run(api, bench.NAMESPACE, host)
        await api.apply(voice(bench.NAMESPACE, "before"))
        await until_resident(api, bench.NAMESPACE, "before")
        await asyncio.to_thread(plane.restart_api)
        await api.apply(voice(bench.NAMESPACE, "after"))
        await until_resident(api, bench.NAMESPACE, "after")
        assert workers[host].loads == 2
