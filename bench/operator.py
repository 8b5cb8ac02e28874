"""The operator with many objects, on a real API server and fake workers: `python -m bench.operator`.

Its own ServiceAccount with the chart's ClusterRole is what it runs under. There is no node: the controller manager
makes pods of the operator's Deployments, and they are said to run at addresses of loopback, where the fake workers are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
from voiceplane_common.kube.api import Api
from voiceplane_common.kube.names import API_VERSION

from bench.report import Report, Section, percentile
from tests.support.chart import NAMESPACE, rendered
from tests.support.control_plane import ControlPlane
from tests.support.fake_workers import fake_workers
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

WORKERS_PER_POOL = 2
DEADLINE_S = 300.0
# An operator that has made no call for so long is at rest.
QUIET_S = 2.0
EDITS = 20


def pool(number: int) -> dict[str, Any]:
    """A pool with a label of its own."""
    metadata = {"name": f"pool-{number}", "namespace": NAMESPACE, "labels": {"tier": f"tier-{number}"}}
    spec = {"image": "worker:1", "replicas": WORKERS_PER_POOL, "residentCap": 1000, "defaultModel": "mock"}
    return {"apiVersion": API_VERSION, "kind": "TTSWorkerPool", "metadata": metadata, "spec": spec}


def voice(number: int, pools: int, **options: str) -> dict[str, Any]:
    """A voice of one of the pools."""
    spec = {"family": "mock", "poolSelector": {"matchLabels": {"tier": f"tier-{number % pools}"}}, "options": options}
    metadata = {"name": f"voice-{number}", "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": "VoiceModel", "metadata": metadata, "spec": spec}


def prepare(plane: ControlPlane) -> Path:
    """Definitions, namespace and account; the account's kubeconfig."""
    plane.define()
    plane.kubectl("create", "namespace", NAMESPACE)
    objects = rendered({"orchestrator": {"enabled": False}, "crds": {"upgrade": False}})
    rights = [each for each in objects if each["kind"] in {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}]
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rights}))
    return plane.kubeconfig_of("vp-voiceplane-operator", namespace=NAMESPACE)


@contextlib.asynccontextmanager
async def operator(kubeconfig: Path, metrics_port: int, **environment: str) -> AsyncIterator[psutil.Process]:
    """The operator as a process, with these variables in its environment."""
    flags = ("--kubeconfig", str(kubeconfig), "--metrics-port", str(metrics_port), "--health-port", str(free_port()))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voiceplane_operator", *flags, env={**os.environ, **environment}
    )
    try:
        yield psutil.Process(child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):  # a test may have killed it
            child.terminate()
        await child.wait()


async def until(holds: Callable[[], Any], *, poll_s: float = 0.1) -> None:
    """Look until an awaitable says that something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(poll_s)


async def make_pods_run(api: Api, hosts: Sequence[str], *, namespace: str = NAMESPACE) -> None:
    """Say of a namespace's pods that each runs at one of the hosts, once there are so many."""
    pods: list[dict[str, Any]] = []

    async def are_all_there() -> bool:
        pods[:] = (await api.list("v1", "Pod", namespace))["items"]
        return len(pods) == len(hosts)

    await until(are_all_there)
    for pod, host in zip(pods, hosts, strict=True):
        ready = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}], "conditions": [ready]}
        metadata = pod["metadata"]
        await api.replace_status("v1", "Pod", namespace, metadata["name"], uid=metadata["uid"], status=status)


async def samples(port: int) -> dict[str, float]:
    """The operator's metrics."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        page = await response.text()
    lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def until_at_rest(metrics_port: int) -> None:
    """Until the operator has made no call of the API server for QUIET_S."""
    clock = asyncio.get_running_loop().time
    calls, since = -1.0, clock()

    async def is_quiet() -> bool:
        nonlocal calls, since
        now = (await samples(metrics_port))["voiceplane_operator_api_calls_total"]
        if now != calls:
            calls, since = now, clock()
        return clock() - since > QUIET_S

    await until(is_quiet)


def quantile_ms(metrics: dict[str, float], kind: str, share: float) -> float:
    """The upper bound of the bucket in which a share of the reconciles ended."""
    form = re.compile(rf'voiceplane_operator_reconcile_seconds_bucket{{kind="{kind}",le="([^"]+)"}}')
    buckets = sorted((float(match[1]), count) for name, count in metrics.items() if (match := form.fullmatch(name)))
    return 1000 * next(bound for bound, count in buckets if count >= share * buckets[-1][1])


async def measure(*, models: int, pools: int, rest_s: float) -> Section:
    """Declare, rest, edit."""
    hosts = [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(pools * WORKERS_PER_POOL)]
    port = free_port()
    title = f"The operator with {models} VoiceModels, {pools} pools and {len(hosts)} workers"
    section = Section(name=title, columns=("what", "figure"))
    with ControlPlane(controllers=True) as plane:
        account = prepare(plane)
        api = await Api.connect(str(plane.kubeconfig), field_manager="bench")
        async with fake_workers(hosts) as workers, operator(account, port) as process:
            for number in range(pools):
                await api.apply(pool(number))
            await make_pods_run(api, hosts)
            began = time.monotonic()
            for number in range(models):
                await api.apply(voice(number, pools))
            applied_s = time.monotonic() - began

            async def are_ready() -> bool:
                items = (await api.list(API_VERSION, "VoiceModel", NAMESPACE))["items"]
                resident = [(item.get("status") or {}).get("resident") for item in items]
                return resident == [WORKERS_PER_POOL] * models

            await until(are_ready)
            section.rows.append(("all applied after, s", applied_s))
            section.rows.append(("all resident after, s", time.monotonic() - began))
            section.rows.append(("LoadModel calls per voice and worker", _loads(workers) / (models * WORKERS_PER_POOL)))
            busy = await samples(port)
            for kind in ("TTSWorkerPool", "VoiceModel"):
                section.rows.append((f"reconcile of a {kind}, p95 at most, ms", quantile_ms(busy, kind, 0.95)))
            await asyncio.sleep(15)  # what changes with every session is written within 10 s
            calls, cpu = (await samples(port))["voiceplane_operator_api_calls_total"], sum(process.cpu_times()[:2])
            await asyncio.sleep(rest_s)
            at_rest = (await samples(port))["voiceplane_operator_api_calls_total"] - calls
            used = sum(process.cpu_times()[:2]) - cpu
            section.rows.append(("API calls a minute at rest", 60 * at_rest / rest_s))
            section.rows.append(("CPU at rest, % of a core", 100 * used / rest_s))
            section.rows.append(("resident memory, MiB", process.memory_info().rss / 2**20))
            edits = [await edit(api, number, pools) for number in range(EDITS)]
            section.rows.append(("edit to status, p50, ms", 1000 * percentile(edits, 50)))
            section.rows.append(("edit to status, p95, ms", 1000 * percentile(edits, 95)))
        await api.close()
    return section


def _loads(workers: dict[str, Any]) -> int:
    return sum(worker.loads for worker in workers.values())


async def edit(api: Api, number: int, pools: int) -> float:
    """Edit a voice; the seconds until its status says that all workers have that."""
    began = time.monotonic()
    generation = (await api.apply(voice(number, pools, edited="yes")))["metadata"]["generation"]

    async def is_seen() -> bool:
        status = (await api.get(API_VERSION, "VoiceModel", NAMESPACE, f"voice-{number}"))["status"]
        return bool(status["observedGeneration"] == generation and status["resident"] == WORKERS_PER_POOL)

    await until(is_seen, poll_s=0.005)
    return time.monotonic() - began


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--rest-s", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=Path("bench-results/operator.json"))
    arguments = parser.parse_args()
    report = Report()
    report.show(asyncio.run(measure(models=arguments.models, pools=arguments.pools, rest_s=arguments.rest_s)))
    report.write(arguments.json)


if __name__ == "__main__":
    main()
