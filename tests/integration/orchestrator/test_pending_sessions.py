"""What routing counts between a StartSession and the worker's snapshot of it, over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.discovery.static import StaticDiscovery
from voiceplane_orchestrator.routing.routed_worker import RoutedWorker
from voiceplane_orchestrator.routing.router import Router
from voiceplane_orchestrator.routing.voice_request import VoiceRequest
from voiceplane_orchestrator.settings import RoutingSection
from voiceplane_orchestrator.tts.failover_tts import FailoverTts
from voiceplane_proto.v1 import tts_pb2, tts_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MODEL = tts_pb2.ModelStatus(model_id="m", state=tts_pb2.MODEL_STATE_RESIDENT, is_default=True)


class SilentWorker(tts_pb2_grpc.TTSServicer):
    """A worker that tells of itself only when a test makes it.

    Attributes:
        answers: Whether StartSession is answered; it waits meanwhile.
        asked: A StartSession has come.
        refuses: StartSession fails.
    """

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()
        self.refuses = False
        self._revision = 1
        self._news: asyncio.Queue[tts_pb2.WorkerState] = asyncio.Queue()
        self.tell()

    def tell(self) -> None:
        """Send a snapshot."""
        load = tts_pb2.Load(sessions=len(self.sessions), max_sessions=16)
        self._news.put_nowait(tts_pb2.WorkerState(ready=True, revision=self._revision, models=[MODEL], load=load))

    async def GetCapabilities(self, request: object, context: object) -> tts_pb2.GetCapabilitiesResponse:  # noqa: N802
        del request, context
        return tts_pb2.GetCapabilitiesResponse(device="cpu")

    async def WatchState(self, request: object, context: object) -> AsyncIterator[tts_pb2.WorkerState]:  # noqa: N802
        del request, context
        while True:
            yield await self._news.get()

    async def StartSession(  # noqa: N802
        self, request: object, context: grpc.aio.ServicerContext[object, object]
    ) -> tts_pb2.StartSessionResponse:
        del request
        self.asked.set()
        await self.answers.wait()
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        self._revision += 1
        session_id = f"s{self._revision}"
        self.sessions.add(session_id)
        return tts_pb2.StartSessionResponse(session_id=session_id, model_id="m", revision=self._revision)

    async def EndSession(self, request: tts_pb2.EndSessionRequest, context: object) -> tts_pb2.EndSessionResponse:  # noqa: N802
        del context
        self._revision += 1
        self.sessions.discard(request.session_id)
        return tts_pb2.EndSessionResponse(existed=True)


@contextlib.asynccontextmanager
async def serving(folder: Path, name: str = "w") -> AsyncIterator[tuple[str, SilentWorker]]:
    worker = SilentWorker()  # type: ignore[abstract]  # no one speaks through it
    server = grpc.aio.server()
    tts_pb2_grpc.add_TTSServicer_to_server(worker, server)
    address = f"unix:{folder}/{name}"
    server.add_insecure_port(address)
    await server.start()
    try:
        yield address, worker
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def linked(address: str) -> AsyncIterator[tuple[RoutedWorker, asyncio.Event]]:
    """A link that has heard the first snapshot, and an event for each further one."""
    changed = asyncio.Event()
    link = RoutedWorker(address, changed=changed.set)
    try:
        await changed.wait()
        changed.clear()
        yield link, changed
    finally:
        await link.close()


@pytest.fixture(autouse=True)
async def deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(30):
        yield


async def test_a_session_counts_from_its_call_on_and_once_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as (address, worker), linked(address) as (link, changed):
        worker.answers.clear()
        beginning = asyncio.create_task(link.begin(tts_pb2.StartSessionRequest()))
        await worker.asked.wait()
        assert link.view().sessions == 1
        worker.tell()  # of before the answer
        await changed.wait()
        assert link.view().sessions == 1
        worker.answers.set()
        session = await beginning
        assert link.view().sessions == 1
        changed.clear()
        worker.tell()
        await changed.wait()
        assert link.view().sessions == 1
        await link.end(session)
        assert link.view().sessions == 1  # as the worker has said
        changed.clear()
        worker.tell()
        await changed.wait()
        assert link.view().sessions == 0


async def test_a_session_that_was_refused_given_up_or_ended_counts_no_longer(tmp_path: Path) -> None:
    async with serving(tmp_path) as (address, worker), linked(address) as (link, _):
        worker.refuses = True
        with pytest.raises(VoiceplaneError):
            await link.begin(tts_pb2.StartSessionRequest())
        assert link.view().sessions == 0
        worker.refuses = False

        worker.answers.clear()
        worker.asked.clear()
        beginning = asyncio.create_task(link.begin(tts_pb2.StartSessionRequest()))
        await worker.asked.wait()
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
        assert link.view().sessions == 0
        worker.answers.set()

        session = await link.begin(tts_pb2.StartSessionRequest())
        assert link.view().sessions == 1
        await link.end(session)
        assert link.view().sessions == 0


async def test_sessions_that_come_between_two_snapshots_do_not_meet(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "a") as (first, one),
        serving(tmp_path, "b") as (second, two),
        Router(discovery=StaticDiscovery([first, second]), settings=RoutingSection()) as router,
    ):
        while not all(view.ready for view in router.workers()) or len(router.workers()) < 2:
            await router.wait_changed(timeout_s=0.1)
        speakers = [
            FailoverTts(router=router, request=VoiceRequest(), session_key="same", recovery_timeout_s=5.0)
            for _ in range(8)
        ]
        await asyncio.gather(*(speaker.open() for speaker in speakers))
        assert (len(one.sessions), len(two.sessions)) == (4, 4)
        assert [view.sessions for view in router.workers()] == [4, 4]
        for speaker in speakers:
            await speaker.close()
        assert [view.sessions for view in router.workers()] == [0, 0]
