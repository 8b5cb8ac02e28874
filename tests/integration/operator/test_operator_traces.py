"""The operator's traces: each reconcile with its calls of the API server and of the workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from voiceplane_common.kube.api import Api
from voiceplane_operator.reconcile.work_queue import FIRST_RETRY_S

from bench import operator as bench
from tests.support.chart import NAMESPACE
from tests.support.fake_workers import FakeWorker, fake_workers
from tests.support.otlp import receiver
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.control_plane import ControlPlane
    from tests.support.otlp import Received, Receiver

# The first one may build Kubernetes.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

SERVICE = "voiceplane-operator"
POOL = "pool-0"
HOSTS = ("127.0.11.1", "127.0.11.2")
LOAD, UNLOAD = "voiceplane.v1.TTS/LoadModel", "voiceplane.v1.TTS/UnloadModel"
CLIENT = 3
SEEN_WITHIN_S = 30.0


class Traced:
    """An operator with a pool of two workers, and its spans so far."""

    def __init__(
        self, plane: ControlPlane, api: Api, workers: dict[str, FakeWorker], receives: Receiver, metrics_port: int
    ) -> None:
        self.plane = plane
        self.metrics_port = metrics_port
        self.api = api
        self.workers = workers
        self.receives = receives

    def spans(self, span_name: str, /, **attributes: Any) -> list[Received]:
        """The spans with a name and these attributes."""
        wanted = {f"voiceplane.{key}": value for key, value in attributes.items()}.items()
        return [each for each in self.receives.spans if each.name == span_name and wanted <= each.attributes.items()]

    def parent_of(self, span: Received) -> Received | None:
        return next((each for each in self.receives.spans if each.span_id == span.parent_id), None)

    async def until(self, span_name: str, /, **attributes: Any) -> Received:
        """The first of these spans that has arrived, with its parent."""
        async with asyncio.timeout(SEEN_WITHIN_S):
            while True:
                for span in self.spans(span_name, **attributes):
                    if not span.parent_id or self.parent_of(span):
                        return span
                await self.receives.until_more()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(plane: ControlPlane) -> AsyncIterator[Traced]:
    account = await asyncio.to_thread(bench.prepare, plane)
    api = await Api.connect(str(plane.kubeconfig), field_manager="test")
    async with receiver() as receives, fake_workers(HOSTS) as workers:
        asks = {"OTEL_EXPORTER_OTLP_ENDPOINT": receives.grpc_url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        port = free_port()
        async with bench.operator(account, port, **asks):
            await api.apply(bench.pool(0))
            await bench.make_pods_run(api, HOSTS)

            async def are_reached() -> bool:
                return (await bench.samples(port))["voiceplane_operator_workers_reachable"] == len(HOSTS)

            await bench.until(are_reached)
            yield Traced(plane, api, workers, receives, port)
        await api.close()


async def test_a_reconcile_is_a_trace_with_its_calls_of_the_api_server(traced: Traced) -> None:
    for verb in ("apply Deployment", "apply ConfigMap", "replace status of TTSWorkerPool", "create Event"):
        call = await traced.until(verb, namespace=NAMESPACE)
        whole = traced.parent_of(call)
        assert whole is not None
        assert (whole.name, whole.parent_id, whole.service) == ("reconcile", "", SERVICE)
        assert whole.attributes["voiceplane.kind"] == "TTSWorkerPool"
        assert whole.attributes["voiceplane.namespace"] == NAMESPACE
        assert whole.attributes["voiceplane.name"] == POOL
        assert whole.attributes["voiceplane.result"] == "ok"
        assert (call.kind, call.failed, whole.failed) == (CLIENT, "", "")
        assert whole.began_s <= call.began_s <= call.ended_s <= whole.ended_s
    assert traced.spans("apply Deployment", name=f"{POOL}-tts")


async def test_a_declaration_reaches_workers_in_its_own_trace(traced: Traced) -> None:
    # A pool that is still being reconciled would call its workers, too, and be their spans' parent.
    await bench.until_at_rest(traced.metrics_port)
    await traced.api.apply(bench.voice(0, 1))
    for call in (LOAD, UNLOAD):
        asked = await traced.until(call, model="voice-0")
        assert asked.kind == CLIENT
        assert asked.attributes["voiceplane.worker"].startswith(POOL)
        cause = traced.parent_of(asked)
        assert cause is not None
        assert (cause.name, cause.attributes["voiceplane.namespaces"]) == ("update_workers", NAMESPACE)
        await traced.until("reconcile", kind="VoiceModel", name="voice-0", result="ok")
        if call == LOAD:
            await bench.until_at_rest(traced.metrics_port)
            await asyncio.to_thread(traced.plane.kubectl, "delete", "vmodel", "voice-0", "--namespace", NAMESPACE)
    assert [worker.loads for worker in traced.workers.values()] == [1, 1]
    assert len(traced.spans(LOAD, model="voice-0")) == len(HOSTS)


async def test_the_first_resync_is_a_trace_and_watches_are_not(traced: Traced) -> None:
    for kind in ("VoiceModel", "TTSWorkerPool"):
        listed = await traced.until(f"list {kind}")
        whole = traced.parent_of(listed)
        assert whole is not None
        assert (whole.name, whole.parent_id) == ("resync", "")
    assert not [span for span in traced.receives.spans if "watch" in span.name or span.name == "list Pod"]


async def test_a_failed_reconcile_has_a_reason_and_a_requeue(traced: Traced) -> None:
    refused = bench.pool(1)
    refused["spec"]["podTemplate"] = {"spec": {"hostname": "Not a host"}}
    await traced.api.apply(refused)
    failed = await traced.until("reconcile", name="pool-1", result="failed")
    assert failed.failed == "Invalid"
    assert failed.attributes["voiceplane.requeue_s"] == pytest.approx(FIRST_RETRY_S, abs=0.01)
    calls = [span for span in traced.receives.spans if span.parent_id == failed.span_id and span.failed]
    assert [(call.name, call.failed) for call in calls] == [("apply Deployment", "Invalid")]
    await asyncio.to_thread(traced.plane.kubectl, "delete", "ttspool", "pool-1", "--namespace", NAMESPACE)
