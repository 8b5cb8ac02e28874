"""The TTS service: thin handlers that validate, delegate and respond."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid
from voiceplane_common.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ
from voiceplane_proto.v1 import tts_pb2, tts_pb2_grpc

from voiceplane_worker.residency.load_request import model_spec
from voiceplane_worker.server.errors import abort, answers
from voiceplane_worker.server.proto_conversion import family_message, model_status
from voiceplane_worker.sessions.requests import SessionRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import grpc

    from voiceplane_worker.adapters.family import Family
    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.residency.model_manager import ModelManager
    from voiceplane_worker.server.watch_state import StatePublisher
    from voiceplane_worker.sessions.store import SessionStore
    from voiceplane_worker.sessions.synthesis_stream import SynthesisStream
    from voiceplane_worker.settings import WorkerSettings

    Context = grpc.aio.ServicerContext[Any, Any]

SYNTHESIZE = "voiceplane.v1.TTS/Synthesize"
AUDIO_FORMAT = tts_pb2.AudioFormat(
    sample_rate_hz=SAMPLE_RATE_HZ, channels=1, frame_ms=FRAME_MS, frame_bytes=FRAME_BYTES
)


class TTSService(tts_pb2_grpc.TTSServicer):
    """The gRPC service."""

    def __init__(
        self,
        *,
        worker_id: str,
        version: str,
        settings: WorkerSettings,
        families: Iterable[Family],
        manager: ModelManager,
        sessions: SessionStore,
        state: StatePublisher,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._sessions = sessions
        self._state = state
        self._metrics = metrics
        self._capabilities = tts_pb2.GetCapabilitiesResponse(
            worker_id=worker_id,
            version=version,
            device=settings.worker.device,
            audio_format=AUDIO_FORMAT,
            families=[family_message(family) for family in families],
            limits=tts_pb2.Limits(
                max_sessions=settings.worker.max_sessions,
                max_chunk_chars=settings.worker.max_chunk_chars,
                resident_cap=settings.model_manager.resident_cap,
                compute_workers=settings.worker.compute_workers,
            ),
            default_model_id=settings.model_manager.default_model_id,
        )

    async def GetCapabilities(  # noqa: N802 - the names of the proto
        self, request: tts_pb2.GetCapabilitiesRequest, context: Context
    ) -> tts_pb2.GetCapabilitiesResponse:
        """See the proto."""
        del request, context
        return self._capabilities

    @answers
    async def StartSession(  # noqa: N802
        self, request: tts_pb2.StartSessionRequest, context: Context
    ) -> tts_pb2.StartSessionResponse:
        """See the proto."""
        del context
        session = await self._sessions.start(SessionRequest.from_proto(request))
        return tts_pb2.StartSessionResponse(
            session_id=session.session_id,
            model_id=session.model_ref.model_id,
            voice=session.profile.voice_settings.voice,
            language=session.profile.voice_settings.language,
            audio_format=AUDIO_FORMAT,
            idle_timeout_ms=self._settings.worker.session_idle_timeout_ms,
            revision=self._state.revision,
        )

    async def Synthesize(  # noqa: N802
        self, request_iterator: AsyncIterator[tts_pb2.TextChunk], context: Context
    ) -> AsyncIterator[tts_pb2.AudioFrame]:
        """See the proto."""
        span = tracing.start_span(SYNTHESIZE, kind="server", headers=context.invocation_metadata())
        try:
            first = await anext(request_iterator, None)
            if first is None:
                return
            if not first.session_id:
                raise invalid("session_id", "the first chunk of a stream must name its session")
            session = self._sessions.get(first.session_id)
            span.note(worker_session_id=session.session_id, model=session.model_ref.model_id)
            with tracing.use_span(span):
                stream = session.open_stream()
            reader = asyncio.create_task(_read(stream, first, request_iterator))
            try:
                async for frame in stream.frames():
                    yield frame
            finally:
                reader.cancel()
                self._metrics.underruns.inc(stream.frame_pacer.underruns)
                await session.close_stream(stream)
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
        except Exception as error:
            reason = getattr(error, "reason", "INTERNAL")
            self._metrics.synthesis_errors.labels(reason=reason).inc()
            span.fail(reason)
            with tracing.use_span(span):
                await abort(context, error)
        finally:
            span.end()

    @answers
    async def Control(self, request: tts_pb2.ControlRequest, context: Context) -> tts_pb2.ControlResponse:  # noqa: N802
        """See the proto."""
        del context
        response = await self._control(request)
        action = tts_pb2.ControlAction.Name(request.action).removeprefix("CONTROL_ACTION_")
        self._metrics.controls.labels(action=action).inc()
        return response

    @answers
    async def EndSession(  # noqa: N802
        self, request: tts_pb2.EndSessionRequest, context: Context
    ) -> tts_pb2.EndSessionResponse:
        """See the proto."""
        del context
        session = await self._sessions.end(request.session_id)
        last = session.last_sequence if session else 0
        return tts_pb2.EndSessionResponse(existed=session is not None, last_sequence=last)

    async def ListModels(  # noqa: N802
        self, request: tts_pb2.ListModelsRequest, context: Context
    ) -> tts_pb2.ListModelsResponse:
        """See the proto."""
        del request, context
        return tts_pb2.ListModelsResponse(models=[model_status(status) for status in self._manager.statuses()])

    @answers
    async def LoadModel(self, request: tts_pb2.LoadModelRequest, context: Context) -> tts_pb2.LoadModelResponse:  # noqa: N802
        """See the proto."""
        del context
        spec = model_spec(request)
        if request.declare_only:
            status = self._manager.declare(spec)
        else:
            status = await self._manager.load(spec, no_wait=request.no_wait)
        return tts_pb2.LoadModelResponse(model=model_status(status), revision=self._state.revision)

    @answers
    async def UnloadModel(  # noqa: N802
        self, request: tts_pb2.UnloadModelRequest, context: Context
    ) -> tts_pb2.UnloadModelResponse:
        """See the proto."""
        del context
        timeout_ms = request.drain_timeout_ms or None
        status = await self._manager.unload(request.model_id, drain_timeout_ms=timeout_ms)
        return tts_pb2.UnloadModelResponse(model=model_status(status), revision=self._state.revision)

    async def WatchState(  # noqa: N802
        self, request: tts_pb2.WatchStateRequest, context: Context
    ) -> AsyncIterator[tts_pb2.WorkerState]:
        """See the proto."""
        del request, context
        async for state in self._state.watch():
            yield state

    async def _control(self, request: tts_pb2.ControlRequest) -> tts_pb2.ControlResponse:
        action = request.action
        if action == tts_pb2.CONTROL_ACTION_RELOAD:
            return await self._reload(request)
        session = self._sessions.get(request.session_id)
        if action == tts_pb2.CONTROL_ACTION_PAUSE:
            return session.pause()
        if action == tts_pb2.CONTROL_ACTION_RESUME:
            return session.resume()
        if action == tts_pb2.CONTROL_ACTION_STOP:
            return session.stop(request.epoch)
        raise invalid("action", "action must be PAUSE, RESUME, STOP or RELOAD")

    async def _reload(self, request: tts_pb2.ControlRequest) -> tts_pb2.ControlResponse:
        if not (request.model_id or request.session_id):
            raise failed_precondition("MODEL_NOT_NAMED", "RELOAD needs a model_id or a session_id", field="model_id")
        session = self._sessions.get(request.session_id) if request.session_id else None
        model_id = request.model_id or (session.model_ref.model_id if session else "")
        await self._manager.reload(model_id)
        return session.status() if session else tts_pb2.ControlResponse()


async def _read(
    stream: SynthesisStream, first: tts_pb2.TextChunk, request_iterator: AsyncIterator[tts_pb2.TextChunk]
) -> None:
    """Feed a stream with its chunks; what is wrong with one of them ends it."""
    try:
        stream.accept(first)
        async for chunk in request_iterator:
            stream.accept(chunk)
        stream.no_more_text()
    except VoiceplaneError as error:
        stream.fail(error)
