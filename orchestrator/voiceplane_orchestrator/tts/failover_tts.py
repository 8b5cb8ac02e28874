"""Speaks a conversation's utterances through a worker, and through another one when that dies."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import grpc
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger
from voiceplane_proto.v1 import tts_pb2

from voiceplane_orchestrator.routing.score import NO_MODEL, NO_WORKER, UNKNOWN_MODEL
from voiceplane_orchestrator.tts.playout_progress import PlayoutProgress
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame
from voiceplane_orchestrator.tts.text_buffer import TextBuffer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from voiceplane_client import SpeechStream, WorkerSession

    from voiceplane_orchestrator.routing.routed_worker import RoutedWorker
    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.score import RoutingDecision
    from voiceplane_orchestrator.routing.voice_request import VoiceRequest

# The worker's own fault, or its death: another worker may do better. Everything else is the request's fault.
REROUTED_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
# A session that has idled out, or whose worker was replaced on the same address, is only to be opened again.
REOPENED_REASONS = frozenset({"SESSION_NOT_FOUND", "SESSION_ENDED"})
# Attempts that have brought no new frame before the text itself is to blame.
MAX_ATTEMPTS_WITHOUT_PROGRESS = 3
# A breaker closes by time alone, without a change of any worker.
RECHECK_INTERVAL_S = 0.1
# Well below what a worker takes as one chunk.
CHUNK_CHARS = 4096
# Half a second may be on its way to the listener: it bounds what a slow one makes us hold.
CREDIT_FRAMES = 25

SYNTHESIZE = "voiceplane.v1.TTS/Synthesize"

SEGMENTATIONS = {
    "": tts_pb2.SEGMENTATION_UNSPECIFIED,
    "clause": tts_pb2.SEGMENTATION_CLAUSE,
    "sentence": tts_pb2.SEGMENTATION_SENTENCE,
}

_log = get_logger("speech")


@dataclass(frozen=True, slots=True, kw_only=True)
class TtsState:
    """What has changed for a speaker.

    Attributes:
        kind: "ready": a worker serves. "rerouted": another one goes on. "no_worker": none can; the text is kept, and
            goes on when one comes. "fallback": another model speaks while the request one loads.
        model_id: The model that speaks.
        voice: Its voice.
        language: Its language.
        reason: Why, for people.
        cause: Why, for programs: the reason of the worker's error.
    """

    kind: Literal["ready", "rerouted", "no_worker", "fallback"]
    model_id: str = ""
    voice: str = ""
    language: str = ""
    reason: str = ""
    cause: str = ""


@dataclass(slots=True, kw_only=True)
class _OpenSession:
    """A session on a worker."""

    worker: RoutedWorker
    address: str
    session: WorkerSession
    request: VoiceRequest
    fallback: bool


class FailoverTts:
    """One conversation's voice. One utterance at a time. Confined to the event loop."""

    def __init__(
        self,
        *,
        router: Router,
        request: VoiceRequest,
        session_key: str,
        recovery_timeout_s: float,
        on_state: Callable[[TtsState], None] = lambda _: None,
    ) -> None:
        """Prepare; open() or the first utterance connects.

        Args:
            router: Chooses the worker.
            request: What to speak with.
            session_key: The conversation's id.
            recovery_timeout_s: How long to wait for a worker when there is none.
            on_state: Told of changes.
        """
        self._router = router
        self._request = request
        self._key = session_key
        self._recovery_timeout_s = recovery_timeout_s
        self._on_state = on_state
        self._worker_session: _OpenSession | None = None
        self._session_lock = asyncio.Lock()
        self._control_lock = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._paused = False
        self._sequence = 0
        self._utterance_id = ""
        self._buffer = TextBuffer()
        self._progress = PlayoutProgress()

    async def open(self) -> None:
        """Open a session on a worker now, so that the first utterance does not wait for that.

        Raises:
            VoiceplaneError: There is no worker, or it refuses the request.
        """
        await self._connect(avoid=())

    def select(self, request: VoiceRequest) -> None:
        """Speak with something else from the next utterance on."""
        self._request = request

    async def speak(self, text: AsyncIterator[str], *, utterance_id: str, epoch: int) -> AsyncGenerator[SpeechFrame]:
        """Speak a text as it arrives; close or cancel the iterator, then call stop(), to end early.

        Args:
            text: Pieces of any size.
            utterance_id: Unique in the session.
            epoch: Its generation epoch.

        Raises:
            VoiceplaneError: It can't be spoken: the request's fault, or no worker came in time. Or the text's own
                error, after what had arrived was spoken.
        """
        self._utterance_id = utterance_id
        buffer = self._buffer = TextBuffer()
        self._progress = PlayoutProgress()
        filling = asyncio.create_task(buffer.fill(text))
        try:
            async with contextlib.aclosing(self._speak(buffer, self._progress, utterance_id, epoch)) as frames:
                async for frame in frames:
                    yield frame
            if buffer.error is not None:
                raise buffer.error
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def pause(self) -> None:
        """Silence at the next frame boundary, whoever speaks; idempotent."""
        self._paused = True
        await self._send_pause_state()

    async def resume(self) -> None:
        """Go on at the next sample; idempotent."""
        self._paused = False
        await self._send_pause_state()

    async def stop(self, *, epoch: int) -> None:
        """Enter a new epoch: what the worker has queued is dropped."""
        self._paused = False
        if self._worker_session is not None:
            with contextlib.suppress(VoiceplaneError):  # a dead worker has stopped, too
                await self._worker_session.session.stop(epoch=epoch)

    def heard(self, *, utterance_id: str, media_time_samples: int) -> None:
        """The listener has played the utterance up to here."""
        if utterance_id == self._utterance_id:
            self._progress.heard(media_time_samples)

    def text_heard(self, utterance_id: str) -> str:
        """What the listener has heard of the latest utterance; nothing of any other."""
        return self._progress.text_heard(self._buffer.text) if utterance_id == self._utterance_id else ""

    async def close(self) -> None:
        """End the session on the worker."""
        opened, self._worker_session = self._worker_session, None
        if opened is not None:
            self._end_in_background(opened)
        await asyncio.gather(*self._ending)

    # ------------------------------------------------------------ one utterance, over as many workers as it takes

    async def _speak(
        self, buffer: TextBuffer, progress: PlayoutProgress, utterance_id: str, epoch: int
    ) -> AsyncGenerator[SpeechFrame]:
        attempts_without_progress = 0
        failed_on: set[str] = set()
        while True:
            # Audio alone is no advance: a text that kills its worker in a later piece would be begun again for ever.
            began_at = progress.resume_at()
            opened = await self._connect(avoid=failed_on)
            try:
                async with contextlib.aclosing(self._speak_on(opened, buffer, progress, utterance_id, epoch)) as frames:
                    async for frame in frames:
                        yield frame
                        if frame.end:
                            opened.worker.succeeded()
                            return
            except VoiceplaneError as error:
                attempts_without_progress = attempts_without_progress + 1 if progress.resume_at() == began_at else 1
                self._abandon(opened)
                if error.code not in REROUTED_CODES and error.reason not in REOPENED_REASONS:
                    raise
                if attempts_without_progress >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
                    raise
                if error.reason not in REOPENED_REASONS:
                    opened.worker.failed()
                    failed_on.add(opened.address)
                    _log.warning("rerouting", session_id=self._key, address=opened.address, reason=error.reason)
                    self._on_state(TtsState(kind="rerouted", reason=error.message, cause=error.reason))

    async def _speak_on(
        self, opened: _OpenSession, buffer: TextBuffer, progress: PlayoutProgress, utterance_id: str, epoch: int
    ) -> AsyncGenerator[SpeechFrame]:
        """Speak what is left of an utterance on one worker."""
        text_base = progress.resume_at()
        media_base = progress.delivered_samples
        # A rest is an utterance of its own to the worker; a session may have spoken the beginning under the same name.
        worker_utterance_id = f"{utterance_id}@{text_base}:{media_base}"
        async with contextlib.AsyncExitStack() as exits:
            call = tracing.child_span(SYNTHESIZE, kind="client", worker_session_id=opened.session.session_id)
            headers = exits.enter_context(call).headers()
            stream = opened.session.open_stream(credit_frames=CREDIT_FRAMES, headers=headers)
            await exits.enter_async_context(stream)
            if self._paused:
                await self._send_pause_state()  # before any text: not one frame may leave
            sending = asyncio.create_task(_send_text(stream, buffer, text_base, worker_utterance_id, epoch))
            try:
                async for frame in stream:
                    if frame.utterance_id != worker_utterance_id or frame.epoch != epoch:
                        continue
                    media_time = media_base + frame.media_time_samples
                    span = (text_base + frame.text_start, text_base + frame.text_end)
                    progress.delivered(
                        media_time_samples=media_time,
                        valid_samples=frame.valid_samples,
                        text_start=span[0],
                        text_end=span[1],
                    )
                    self._sequence += 1
                    yield SpeechFrame(
                        pcm=frame.pcm,
                        sequence=self._sequence,
                        media_time_samples=media_time,
                        utterance_id=utterance_id,
                        epoch=epoch,
                        valid_samples=frame.valid_samples,
                        end=bool(frame.end),
                        text_start=span[0],
                        text_end=span[1],
                        compute_us=frame.compute_us,
                    )
                raise VoiceplaneError(grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED", "the worker ended the stream early")
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)  # reading tells why the stream has ended

    async def _send_pause_state(self) -> None:
        """Tell the worker whether we are paused; the lock lets the order that was given last arrive last."""
        async with self._control_lock:
            opened = self._worker_session
            if opened is None:
                return
            try:
                await (opened.session.pause() if self._paused else opened.session.resume())
            except VoiceplaneError as error:  # a dead worker is silent, and its successor is told when it takes over
                _log.warning("control_failed", session_id=self._key, paused=self._paused, reason=error.reason)

    # ------------------------------------------------------------ the session on a worker

    async def _connect(self, *, avoid: Iterable[str]) -> _OpenSession:
        """The session that serves the next utterance; opened if there is none, or if something else is requested."""
        async with self._session_lock:
            opened = self._worker_session
            if (
                opened is not None
                and opened.request == self._request
                and not opened.fallback
                and self._may_keep(opened)
            ):
                return opened
            if opened is not None:
                self._abandon(opened)
                await asyncio.gather(*self._ending)  # its place may be the one that we need
            self._worker_session = await self._find_worker(avoid)
            return self._worker_session

    async def _find_worker(self, avoid: Iterable[str]) -> _OpenSession:
        """A new session on the best worker; if there is none, it is waited for."""
        deadline = asyncio.get_running_loop().time() + self._recovery_timeout_s
        waiting = scaling_up = False
        while True:
            try:
                choice = self._router.choose(self._request, session_key=self._key, avoid=avoid)
                return await self._open_session(choice)
            except VoiceplaneError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                if error.reason == UNKNOWN_MODEL:  # of the workers that are there; one that is not may know it
                    scaling_up = scaling_up or await self._router.is_scaling_up(self._request.model_id)
                if not (scaling_up and error.reason == UNKNOWN_MODEL) and error.code not in REROUTED_CODES:
                    raise
                if error.reason in {NO_WORKER, UNKNOWN_MODEL} and not waiting:
                    waiting = True
                    self._on_state(TtsState(kind="no_worker", reason=error.message, cause=error.reason))
                if error.reason in {NO_WORKER, NO_MODEL, UNKNOWN_MODEL}:
                    asked = self._router.demand(self._request.model_id)
                    await self._router.wait_changed(timeout_s=RECHECK_INTERVAL_S)
                    scaling_up = scaling_up or (asked.done() and asked.result())

    def _may_keep(self, opened: _OpenSession) -> bool:
        """Whether a session's worker has not gone from discovery, or nobody else could take its place."""
        if not opened.worker.leaving:
            return True
        try:
            self._router.choose(opened.request, session_key=self._key)
        except VoiceplaneError:
            self._router.demand(opened.request.model_id)
            return True
        return False

    async def _open_session(self, choice: RoutingDecision) -> _OpenSession:
        voice = self._request
        worker = self._router.worker(choice.address)
        request = tts_pb2.StartSessionRequest(
            model_id=choice.model_id,
            voice="" if choice.fallback else voice.voice,
            language="" if choice.fallback else voice.language,
            speed=voice.speed,
            segmentation=SEGMENTATIONS[voice.segmentation],
            credit_flow_control=True,
        )
        try:
            session = await worker.begin(request)
        except VoiceplaneError as error:
            if error.code in REROUTED_CODES:
                # This keeps us away from it, so the next choice is another one.
                worker.failed(full=error.code is grpc.StatusCode.RESOURCE_EXHAUSTED)
            raise
        info = session.info
        _log.info("worker_session", session_id=self._key, address=choice.address, worker_session_id=info.session_id)
        self._on_state(
            TtsState(
                kind="fallback" if choice.fallback else "ready",
                model_id=info.model_id,
                voice=info.voice,
                language=info.language,
                reason=choice.reason,
            )
        )
        return _OpenSession(
            worker=worker, address=choice.address, session=session, request=voice, fallback=choice.fallback
        )

    def _abandon(self, opened: _OpenSession) -> None:
        if self._worker_session is opened:
            self._worker_session = None
            self._end_in_background(opened)

    def _end_in_background(self, opened: _OpenSession) -> None:
        """End a session without waiting for the answer, which a worker that hangs would keep from us."""
        task = asyncio.create_task(self._end(opened))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, opened: _OpenSession) -> None:
        try:
            await opened.worker.end(opened.session)
        except VoiceplaneError as error:  # it idles out
            _log.warning("session_not_ended", session_id=self._key, address=opened.address, reason=error.reason)


async def _send_text(stream: SpeechStream, buffer: TextBuffer, start: int, utterance_id: str, epoch: int) -> None:
    """Send an utterance's text from a place on, as it arrives."""
    async for text in buffer.read(start):
        for begin in range(0, len(text), CHUNK_CHARS):
            await stream.send(text[begin : begin + CHUNK_CHARS], utterance_id=utterance_id, epoch=epoch)
    await stream.send("", utterance_id=utterance_id, epoch=epoch, end=True)
