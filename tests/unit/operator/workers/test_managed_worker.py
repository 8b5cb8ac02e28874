"""A ManagedWorker makes the calls that its models need: at once after an edit, after a failure with backoff."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, cast

import grpc
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.workers.managed_worker import UNKNOWN_MODEL_GRACE_S, ManagedWorker
from voiceplane_operator.workers.retry import FIRST_RETRY_S
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time
from tests.support.spans import recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from voiceplane_client import WorkerClient

# A real worker reports at most every 20 ms; a load may end sooner.
TELLS_S = 0.02
PREFIX = "voiceplane.dev/voicemodel/speech/joe/uid/"


class FakeWorker:
    """A worker whose loads fail while `broken` is true. It reports a change after 20 ms, as a real one does.

    With `overtakes`, its next answer comes before a snapshot that was made before the call. `holds` is what it has when
    it is first seen.
    """

    def __init__(self) -> None:
        self.broken = False
        self.overtakes = False
        self.holds: tuple[tts_pb2.ModelStatus, ...] = ()
        self.unloads: list[float] = []
        self.calls: list[tuple[float, str]] = []
        self._state: tts_pb2.ModelState.ValueType | None = None
        self._revision = 1
        self._news: asyncio.Queue[tts_pb2.WorkerState] = asyncio.Queue()

    @property
    def versions(self) -> list[str]:
        """The versions of the LoadModel calls, in order."""
        return [version for _, version in self.calls]

    def renew(self) -> None:
        pass

    async def capabilities(self) -> tts_pb2.GetCapabilitiesResponse:
        return tts_pb2.GetCapabilitiesResponse(families=[tts_pb2.Family(name="mock")])

    async def watch_state(self) -> AsyncIterator[tts_pb2.WorkerState]:
        yield tts_pb2.WorkerState(ready=True, models=self.holds, revision=self._revision)
        while True:
            yield await self._news.get()

    async def load_model(self, request: tts_pb2.LoadModelRequest) -> tts_pb2.LoadModelResponse:
        loop = asyncio.get_running_loop()
        if self.overtakes:
            self.overtakes = False
            self._tell()
        self.calls.append((loop.time(), request.declaration.removeprefix(PREFIX)))
        declaration, before = request.declaration, self._state
        if self.broken:
            after, reason = before or tts_pb2.MODEL_STATE_FAILED, "ReloadFailed" if before else "Broken"
        else:
            self._state = after = tts_pb2.MODEL_STATE_RESIDENT
            reason = ""
        self._revision += 1
        loop.call_later(TELLS_S, self._change, _status(after, reason, declaration))
        model = _status(before or tts_pb2.MODEL_STATE_LOADING, "Reloading" if before else "", declaration)
        return tts_pb2.LoadModelResponse(model=model, revision=self._revision)

    async def unload_model(self, model_id: str, *, drain_timeout_ms: int) -> tts_pb2.UnloadModelResponse:
        del drain_timeout_ms
        loop = asyncio.get_running_loop()
        self.unloads.append(loop.time())
        if self.broken:
            raise VoiceplaneError(grpc.StatusCode.INTERNAL, "BROKEN", "it does not let go")
        self._state = None
        self._revision += 1
        loop.call_later(TELLS_S, self._change)
        model = tts_pb2.ModelStatus(model_id=model_id, state=tts_pb2.MODEL_STATE_ABSENT)
        return tts_pb2.UnloadModelResponse(model=model, revision=self._revision)

    def _change(self, *models: tts_pb2.ModelStatus) -> None:
        self._revision += 1
        self._tell(*models)

    def _tell(self, *models: tts_pb2.ModelStatus) -> None:
        self._news.put_nowait(tts_pb2.WorkerState(ready=True, models=models, revision=self._revision))

    async def close(self) -> None:
        pass


def _status(state: tts_pb2.ModelState.ValueType, reason: str, declaration: str) -> tts_pb2.ModelStatus:
    return tts_pb2.ModelStatus(model_id="joe", state=state, reason=reason, declaration=declaration)


def declared(version: str) -> dict[str, tts_pb2.LoadModelRequest]:
    return {"joe": tts_pb2.LoadModelRequest(model_id="joe", family="mock", declaration=PREFIX + version)}


@contextlib.asynccontextmanager
async def linked(worker: FakeWorker, *, version: str = "v1") -> AsyncIterator[ManagedWorker]:
    """A ManagedWorker that must have a version of the model; none if it is empty."""
    link = ManagedWorker(
        name="pod",
        address="10.0.0.1:50051",
        changed=lambda _: None,
        metrics=Metrics(),
        connect=lambda _: cast("WorkerClient", worker),
    )
    link.start()
    link.set_desired(declared(version) if version else {})
    try:
        yield link
    finally:
        await link.close()


def state_of(link: ManagedWorker) -> int:
    return link.reported()["joe"].state


def test_a_failing_load_is_retried_with_backoff() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        worker.broken = True
        async with linked(worker):
            await asyncio.sleep(7 * FIRST_RETRY_S + 1)
            pauses = [after - before for (before, _), (after, _) in zip(worker.calls, worker.calls[1:], strict=False)]
            assert [round(pause / FIRST_RETRY_S, 1) for pause in pauses] == [1.0, 2.0, 4.0]

    virtual_time.run(scenario())


def test_an_edit_is_loaded_at_once_and_has_its_own_backoff() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        worker.broken = True
        async with linked(worker) as link:
            await asyncio.sleep(1.0)
            link.set_desired(declared("v2"))
            await asyncio.sleep(FIRST_RETRY_S - 0.5)
            assert worker.versions == ["v1", "v2"]  # it fails, too, and waits for its backoff
            worker.broken = False
            link.set_desired(declared("v3"))
            await asyncio.sleep(1.0)
            assert worker.versions == ["v1", "v2", "v3"]
            assert state_of(link) == tts_pb2.MODEL_STATE_RESIDENT
            assert link.retries == {}

    virtual_time.run(scenario())


def test_a_resident_model_is_not_loaded_again() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        async with linked(worker) as link:
            for _ in range(3):
                link.set_desired(declared("v1"))
                await asyncio.sleep(1.0)
            assert len(worker.calls) == 1

    virtual_time.run(scenario())


def test_a_late_snapshot_causes_no_second_call() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        worker.overtakes = True
        async with linked(worker) as link:
            await asyncio.sleep(1.0)
            assert worker.versions == ["v1"]
            assert state_of(link) == tts_pb2.MODEL_STATE_RESIDENT
            assert link.retries == {}

    virtual_time.run(scenario())


def test_an_unknown_model_is_kept_until_its_voicemodel_is_seen() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        worker.holds = (_status(tts_pb2.MODEL_STATE_RESIDENT, "", PREFIX + "v1"),)
        async with linked(worker, version="") as link:
            await asyncio.sleep(UNKNOWN_MODEL_GRACE_S / 2)
            link.set_desired(declared("v1"))
            await asyncio.sleep(2 * UNKNOWN_MODEL_GRACE_S)
            assert (worker.unloads, worker.calls) == ([], [])
            link.set_desired({})
            await asyncio.sleep(0.1)
            assert len(worker.unloads) == 1  # this operator has declared it, so there is no grace time

    virtual_time.run(scenario())


def test_an_undeclared_model_is_unloaded_after_the_grace_time() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        worker.holds = (_status(tts_pb2.MODEL_STATE_RESIDENT, "", PREFIX + "v1"),)
        began_s = asyncio.get_running_loop().time()
        async with linked(worker, version=""):
            await asyncio.sleep(2 * UNKNOWN_MODEL_GRACE_S)
            assert [round(at_s - began_s, 1) for at_s in worker.unloads] == [UNKNOWN_MODEL_GRACE_S]

    virtual_time.run(scenario())


def test_a_failed_reload_is_retried_after_the_backoff() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        async with linked(worker) as link:
            await asyncio.sleep(1.0)
            worker.broken = True
            link.set_desired(declared("v2"))
            await asyncio.sleep(FIRST_RETRY_S - 0.5)
            assert worker.versions == ["v1", "v2"]
            worker.broken = False
            await asyncio.sleep(1.0)
            assert worker.versions == ["v1", "v2", "v2"]
            assert link.retries == {}

    virtual_time.run(scenario())


def test_a_refused_unload_is_retried_with_backoff_until_a_declaration() -> None:
    async def scenario() -> None:
        worker = FakeWorker()
        async with linked(worker) as link:
            await asyncio.sleep(1.0)
            worker.broken = True
            link.set_desired({})
            await asyncio.sleep(3 * FIRST_RETRY_S + 1)
            pauses = [after - before for before, after in itertools.pairwise(worker.unloads)]
            assert [round(pause / FIRST_RETRY_S, 1) for pause in pauses] == [1.0, 2.0]
            worker.broken = False
            link.set_desired(declared("v2"))
            await asyncio.sleep(1.0)
            assert worker.versions == ["v1", "v2"]
            link.set_desired({})
            await asyncio.sleep(1.0)
            assert len(worker.unloads) == 4
            assert link.reported() == {}
            assert link.retries == {}

    virtual_time.run(scenario())


def test_a_call_belongs_to_its_reconciles_trace_and_a_retry_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = recorded(monkeypatch)

    async def scenario() -> None:
        worker = FakeWorker()
        worker.broken = True
        async with linked(worker, version="") as link:
            await asyncio.sleep(1.0)
            with tracing.new_trace("reconcile"):
                link.set_desired(declared("v1"))
            await asyncio.sleep(1.0)
            with tracing.new_trace("resync"):
                link.set_desired(declared("v1"))  # which sets the timer of the retry
            await asyncio.sleep(FIRST_RETRY_S)
            load, again = spans.named("voiceplane.v1.TTS/LoadModel")
            assert (load.parent, again.parent) == ("reconcile", "")
            assert load.attributes == {"worker": "pod", "model": "joe"}
            assert (load.kind, load.failed, load.over) == ("client", "", True), "the call succeeded, the load failed"

    virtual_time.run(scenario())


def test_a_refused_call_is_a_failed_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = recorded(monkeypatch)

    async def scenario() -> None:
        worker = FakeWorker()
        async with linked(worker) as link:
            await asyncio.sleep(1.0)
            worker.broken = True
            with tracing.new_trace("update_workers"):
                link.set_desired({})
            await asyncio.sleep(FIRST_RETRY_S + 1)
            refused, again = spans.named("voiceplane.v1.TTS/UnloadModel")
            assert (refused.parent, again.parent) == ("update_workers", "")
            assert (refused.failed, again.failed) == ("BROKEN", "BROKEN")

    virtual_time.run(scenario())
