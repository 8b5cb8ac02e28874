"""Workers without any voice: they take declarations as real ones do, and at once hold, or fail, what they are asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc.aio
from voiceplane_proto.v1 import tts_pb2, tts_pb2_grpc
from voiceplane_worker.app import SERVER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

PORT = 50051
# A worker tells of changes at most this often.
TELL_EVERY_S = 0.02


class FakeWorker(tts_pb2_grpc.TTSServicer):
    """One worker.

    Args:
        host: Its address.

    Attributes:
        host: Its address.
        models: By id.
        loads: LoadModel calls so far.
        asked: Each LoadModel call: the event loop's time, and the declaration.
        failing: The ids of models that do not load.
        on_load: Called within each LoadModel call, before it answers.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.models: dict[str, tts_pb2.ModelStatus] = {}
        self.loads = 0
        self.asked: list[tuple[float, str]] = []
        self.failing: set[str] = set()
        self.on_load: Callable[[], None] = lambda: None
        self._news: set[asyncio.Event] = set()
        self._revision = 1

    async def GetCapabilities(self, request: object, context: object) -> tts_pb2.GetCapabilitiesResponse:  # noqa: N802
        del request, context
        return tts_pb2.GetCapabilitiesResponse(families=[tts_pb2.Family(name="mock")])

    async def LoadModel(self, request: tts_pb2.LoadModelRequest, context: object) -> tts_pb2.LoadModelResponse:  # noqa: N802
        del context
        self.loads += 1
        self.asked.append((asyncio.get_running_loop().time(), request.declaration))
        fails = request.model_id in self.failing
        self.models[request.model_id] = tts_pb2.ModelStatus(
            model_id=request.model_id,
            family=request.family,
            state=tts_pb2.MODEL_STATE_FAILED if fails else tts_pb2.MODEL_STATE_RESIDENT,
            reason="LoadFailed" if fails else "",
            message="its weights are broken" if fails else "",
            declaration=request.declaration,
        )
        self.on_load()
        self._tell()
        return tts_pb2.LoadModelResponse(model=self.models[request.model_id], revision=self._revision)

    async def UnloadModel(self, request: tts_pb2.UnloadModelRequest, context: object) -> tts_pb2.UnloadModelResponse:  # noqa: N802
        del context
        self.models.pop(request.model_id, None)
        self._tell()
        model = tts_pb2.ModelStatus(model_id=request.model_id, state=tts_pb2.MODEL_STATE_ABSENT)
        return tts_pb2.UnloadModelResponse(model=model, revision=self._revision)

    async def WatchState(self, request: object, context: object) -> AsyncIterator[tts_pb2.WorkerState]:  # noqa: N802
        del request, context
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                yield tts_pb2.WorkerState(ready=True, models=self.models.values(), revision=self._revision)
                await news.wait()
                await asyncio.sleep(TELL_EVERY_S)
                news.clear()
        finally:
            self._news.discard(news)

    def _tell(self) -> None:
        self._revision += 1
        for news in self._news:
            news.set()


@contextlib.asynccontextmanager
async def fake_workers(hosts: Iterable[str]) -> AsyncIterator[dict[str, FakeWorker]]:
    """Workers on addresses of loopback, by address."""
    workers: dict[str, FakeWorker] = {}
    async with contextlib.AsyncExitStack() as stack:
        for host in hosts:
            server = grpc.aio.server(options=SERVER_OPTIONS)
            workers[host] = FakeWorker(host)  # type: ignore[abstract]  # it serves no session
            tts_pb2_grpc.add_TTSServicer_to_server(workers[host], server)
            if server.add_insecure_port(f"{host}:{PORT}") != PORT:
                raise RuntimeError(f"cannot listen on {host}:{PORT}")
            await server.start()
            stack.push_async_callback(server.stop, None)
        yield workers
