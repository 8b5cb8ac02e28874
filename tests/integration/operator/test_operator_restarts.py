"""An operator that is killed, absent or running twice; and its calls of the workers, one by one."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from voiceplane_common.kube.api import Api
from voiceplane_common.kube.names import API_VERSION
from voiceplane_operator.workers.retry import FIRST_RETRY_S

from bench import operator as bench
from tests.support.chart import NAMESPACE
from tests.support.fake_workers import FakeWorker, fake_workers
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import psutil

    from tests.support.control_plane import ControlPlane

# The first one may build Kubernetes.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

VOICES = 8
POOL = "pool-0"
# After this time without a write, the operator is idle.
QUIET_S = 3.0
# The operator's clock and ours are read at different ends of a call, so timers may seem early by this much.
EARLY_S = 0.5
_hosts = (f"127.0.10.{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Path:
    return bench.prepare(plane)


@pytest_asyncio.fixture(loop_scope="module")
async def api(plane: ControlPlane, account: Path) -> AsyncIterator[Api]:
    """The administrator's client. A test's objects are deleted without an operator."""
    del account
    api = await Api.connect(str(plane.kubeconfig), field_manager="test")
    yield api
    await asyncio.to_thread(plane.kubectl, "delete", "vmodel,ttspool", "--all", "--namespace", NAMESPACE)
    await until_nothing_is_left(api)
    await api.close()


@pytest_asyncio.fixture(loop_scope="module")
async def workers(api: Api) -> AsyncIterator[list[FakeWorker]]:
    """The workers of the pool."""
    del api
    async with fake_workers([next(_hosts) for _ in range(bench.WORKERS_PER_POOL)]) as workers:
        yield list(workers.values())


def operator(account: Path) -> AbstractAsyncContextManager[psutil.Process]:
    return bench.operator(account, free_port())


async def items(api: Api, version: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.list(version, kind, NAMESPACE))["items"]
    return found


async def until_nothing_is_left(api: Api) -> None:
    kinds = (("v1", "Pod"), ("v1", "Service"), ("v1", "ConfigMap"), ("apps/v1", "Deployment"))

    async def is_empty() -> bool:
        made = [each for kind in kinds for each in await items(api, *kind)]
        return not [each for each in made if each["metadata"]["name"].startswith(POOL)]

    await bench.until(is_empty)


async def start_pool(api: Api, workers: list[FakeWorker]) -> None:
    await api.apply(bench.pool(0))
    await bench.make_pods_run(api, [worker.host for worker in workers])


async def until_resident(api: Api, *names: str) -> None:
    """Wait until exactly these voices are resident on every worker, by their statuses."""

    async def are_resident() -> bool:
        found = await items(api, API_VERSION, "VoiceModel")
        seen = {
            each["metadata"]["name"]: (each.get("status") or {}).get("resident")
            for each in found
            if (each.get("status") or {}).get("observedGeneration") == each["metadata"]["generation"]
        }
        return seen == dict.fromkeys(names, bench.WORKERS_PER_POOL)

    await bench.until(are_resident)


def condition(voice: dict[str, Any], kind: str) -> tuple[str, str]:
    """A condition's status and reason; empty while there is none."""
    said = (voice.get("status") or {}).get("conditions") or []
    return next(((each["status"], each["reason"]) for each in said if each["type"] == kind), ("", ""))


async def test_an_operator_killed_in_a_call_repeats_no_call(api: Api, account: Path, workers: list[FakeWorker]) -> None:
    names = [f"voice-{number}" for number in range(VOICES)]
    async with operator(account) as process:
        await start_pool(api, workers)
        workers[0].on_load = process.kill
        for number in range(VOICES):
            await api.apply(bench.voice(number, 1))
        await asyncio.to_thread(process.wait, bench.DEADLINE_S)
    workers[0].on_load = lambda: None
    async with operator(account):
        await until_resident(api, *names)
    for worker in workers:
        declarations = [declaration for _, declaration in worker.asked]
        assert len(declarations) == len(set(declarations)) == VOICES
    assert len(await items(api, "apps/v1", "Deployment")) == 1


async def test_deletions_during_an_absence_are_reconciled(
    plane: ControlPlane, api: Api, account: Path, workers: list[FakeWorker]
) -> None:
    async with operator(account):
        await start_pool(api, workers)
        for number in range(2):
            await api.apply(bench.voice(number, 1))
        await until_resident(api, "voice-0", "voice-1")
    delete = ("delete", "vmodel", "voice-1", "--namespace", NAMESPACE, "--timeout=20s")
    await asyncio.to_thread(plane.kubectl, *delete)
    for kind, name in (("VoiceModel", "voice-0"), ("TTSWorkerPool", POOL)):
        uid = (await api.get(API_VERSION, kind, NAMESPACE, name))["metadata"]["uid"]
        await api.replace_status(API_VERSION, kind, NAMESPACE, name, uid=uid, status={})
    async with operator(account):
        await until_resident(api, "voice-0")

        async def is_as_declared() -> bool:
            pool = await api.get(API_VERSION, "TTSWorkerPool", NAMESPACE, POOL)
            return bool(pool.get("status")) and all(set(worker.models) == {"voice-0"} for worker in workers)

        await bench.until(is_as_declared)
    assert [worker.loads for worker in workers] == [2, 2]


async def test_a_pool_deleted_during_an_absence_leaves_nothing(
    plane: ControlPlane, api: Api, account: Path, workers: list[FakeWorker]
) -> None:
    async with operator(account):
        await start_pool(api, workers)
        await api.apply(bench.voice(0, 1))
        await until_resident(api, "voice-0")
    delete = ("delete", "ttspool", POOL, "--namespace", NAMESPACE, "--timeout=20s")
    await asyncio.to_thread(plane.kubectl, *delete)
    await until_nothing_is_left(api)
    async with operator(account):

        async def has_no_pool() -> bool:
            return condition((await items(api, API_VERSION, "VoiceModel"))[0], "Ready") == ("False", "NoPool")

        await bench.until(has_no_pool)


async def test_a_failed_load_is_one_event_and_retried_with_backoff(
    api: Api, account: Path, workers: list[FakeWorker]
) -> None:
    for worker in workers:
        worker.failing.add("voice-0")
    async with operator(account):
        await start_pool(api, workers)
        await api.apply(bench.voice(0, 1))

        async def have_tried_thrice() -> bool:
            return all(worker.loads == 3 for worker in workers)

        await bench.until(have_tried_thrice)
        for worker in workers:
            times = [time for time, _ in worker.asked]
            waits = [after - before for before, after in itertools.pairwise(times)]
            assert waits[0] > FIRST_RETRY_S - EARLY_S
            assert waits[1] > 2 * FIRST_RETRY_S - EARLY_S
        voice = (await items(api, API_VERSION, "VoiceModel"))[0]
        assert condition(voice, "Ready") == ("False", "LoadFailed")
        assert condition(voice, "Degraded") == ("True", "LoadFailed")
        uid = voice["metadata"]["uid"]
        events = [each for each in await items(api, "v1", "Event") if each["involvedObject"].get("uid") == uid]
        assert [each["reason"] for each in events if each["type"] == "Warning"].count("LoadFailed") == 1
        for worker in workers:
            worker.failing.clear()
        await api.apply(bench.voice(0, 1, fixed="yes"))
        await until_resident(api, "voice-0")
        assert [worker.loads for worker in workers] == [4, 4]


async def test_a_duplicate_model_id_is_served_after_the_older_is_deleted(
    plane: ControlPlane, api: Api, account: Path, workers: list[FakeWorker]
) -> None:
    older, younger = bench.voice(0, 1), bench.voice(1, 1)
    for each in (older, younger):
        each["spec"]["modelId"] = "shared"
    await api.apply(older)
    born = (await items(api, API_VERSION, "VoiceModel"))[0]["metadata"]["creationTimestamp"]

    async def is_younger() -> bool:  # creation times are whole seconds; a dry run returns the present one
        made = ("create", "--dry-run=server", "-o", "jsonpath={.metadata.creationTimestamp}", "configmap", "clock")
        now = await asyncio.to_thread(plane.kubectl, *made, "--namespace", NAMESPACE)
        return str(now) != str(born)

    await bench.until(is_younger)
    await api.apply(younger)
    async with operator(account):
        await start_pool(api, workers)

        async def is_refused() -> bool:
            found = {each["metadata"]["name"]: each for each in await items(api, API_VERSION, "VoiceModel")}
            refused = condition(found["voice-1"], "Accepted") == ("False", "DuplicateModelId")
            return refused and condition(found["voice-0"], "Ready")[0] == "True"

        await bench.until(is_refused)
        delete = ("delete", "vmodel", "voice-0", "--namespace", NAMESPACE)
        await asyncio.to_thread(plane.kubectl, *delete)
        await until_resident(api, "voice-1")
    for worker in workers:
        assert "/voice-1/" in worker.models["shared"].declaration


async def test_two_operators_at_once_agree(api: Api, account: Path, workers: list[FakeWorker]) -> None:
    async with operator(account), operator(account):
        await start_pool(api, workers)
        for number in range(VOICES):
            await api.apply(bench.voice(number, 1))
        await until_resident(api, *(f"voice-{number}" for number in range(VOICES)))
        kinds = ((API_VERSION, "VoiceModel"), (API_VERSION, "TTSWorkerPool"), ("apps/v1", "Deployment"))
        clock = asyncio.get_running_loop().time
        versions: list[str] = []
        since = clock()

        async def is_quiet() -> bool:
            nonlocal versions, since
            found = [each["metadata"]["resourceVersion"] for kind in kinds for each in await items(api, *kind)]
            if found != versions:
                versions, since = found, clock()
            return clock() - since > QUIET_S

        await bench.until(is_quiet)
        deployments = await items(api, "apps/v1", "Deployment")
    assert [each["metadata"]["generation"] for each in deployments] == [1]
    for worker in workers:
        declarations = [declaration for _, declaration in worker.asked]
        assert len(set(declarations)) == VOICES
        assert all(declarations.count(each) <= 2 for each in declarations)
