"""Text to speech with failover: when a worker fails in an utterance, another worker continues it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.tts.base import TtsState
from voiceplane_orchestrator.tts.playout_progress import PlayoutProgress
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame
from voiceplane_orchestrator.tts.text_buffer import TextBuffer
from voiceplane_orchestrator.tts.worker_session import REROUTED_CODES, WorkerSessions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from voiceplane_client import SpeechStream

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.voice_request import Pacing, VoiceRequest
    from voiceplane_orchestrator.tts.worker_session import OpenSession

# The session has timed out, or the worker at the address was replaced. The same worker may open another session.
REOPENED_REASONS = frozenset({"SESSION_NOT_FOUND", "SESSION_ENDED"})
# After this many attempts at the same place in the text, the text itself is the likely cause.
MAX_ATTEMPTS_WITHOUT_PROGRESS = 3
# Well below the largest chunk that a worker accepts.
CHUNK_CHARS = 4096
# Half a second. It bounds the audio that is buffered for a slow client.
CREDIT_FRAMES = 25
# Five seconds: without a pace, a grant's way to the worker and back must not make the model wait.
UNPACED_CREDIT_FRAMES = 250

SYNTHESIZE = "voiceplane.v1.TTS/Synthesize"

_log = get_logger("tts")


class FailoverTts:
    """The TTS of one conversation. One utterance at a time. Confined to the event loop."""

    def __init__(
        self,
        *,
        router: Router,
        request: VoiceRequest,
        session_key: str,
        recovery_timeout_s: float,
        on_state: Callable[[TtsState], None] = lambda _: None,
        pacing: Pacing = "realtime",
    ) -> None:
        """Prepare; open() or the first utterance connects.

        Args:
            router: Chooses the worker.
            request: The voice.
            session_key: The conversation's id.
            recovery_timeout_s: How long to wait for a worker when there is none.
            on_state: Called with each change of what serves the conversation.
            pacing: "unpaced" for a file.
        """
        self._key = session_key
        self._on_state = on_state
        self._sessions = WorkerSessions(
            router=router,
            request=request,
            session_key=session_key,
            recovery_timeout_s=recovery_timeout_s,
            on_state=on_state,
            pacing=pacing,
        )
        self._credit_frames = UNPACED_CREDIT_FRAMES if pacing == "unpaced" else CREDIT_FRAMES
        self._control_lock = asyncio.Lock()
        self._paused = False
        self._sequence = 0
        self._utterance_id = ""
        self._buffer = TextBuffer()
        self._progress = PlayoutProgress()

    async def open(self) -> None:
        """Open a session on a worker now, so that the first utterance does not wait for it.

        Raises:
            VoiceplaneError: There is no worker, or it refuses the request.
        """
        await self._sessions.get()

    def select(self, request: VoiceRequest) -> None:
        """Use another voice from the next utterance on."""
        self._sessions.request = request

    async def speak(self, text: AsyncIterator[str], *, utterance_id: str, epoch: int) -> AsyncGenerator[SpeechFrame]:
        """Speak a text as it arrives. To end early, close or cancel the generator, then call stop().

        Args:
            text: Chunks of any size.
            utterance_id: Unique in the session.
            epoch: The utterance's generation epoch.

        Raises:
            VoiceplaneError: The request is invalid, or no worker was available in time. An error of the text's source
                is raised after the text that had arrived was spoken.
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
        """Pause at the next frame boundary, on whichever worker speaks; idempotent."""
        self._paused = True
        await self._send_pause_state()

    async def resume(self) -> None:
        """Continue at the next sample; idempotent."""
        self._paused = False
        await self._send_pause_state()

    async def stop(self, *, epoch: int) -> None:
        """Enter a new epoch: the worker drops what it has queued."""
        self._paused = False
        opened = self._sessions.current
        if opened is not None:
            with contextlib.suppress(VoiceplaneError):  # a dead worker has stopped, too
                await opened.session.stop(epoch=epoch)

    def heard(self, *, utterance_id: str, media_time_samples: int) -> None:
        """Note how far the listener has played the utterance."""
        if utterance_id == self._utterance_id:
            self._progress.heard(media_time_samples)

    def text_heard(self, utterance_id: str) -> str:
        """The text of the latest utterance that the listener has heard; empty for any other utterance."""
        return self._progress.text_heard(self._buffer.text) if utterance_id == self._utterance_id else ""

    async def close(self) -> None:
        """End the session on the worker."""
        await self._sessions.close()

    # ------------------------------------------------------------ one utterance, on one worker after another

    async def _speak(
        self, buffer: TextBuffer, progress: PlayoutProgress, utterance_id: str, epoch: int
    ) -> AsyncGenerator[SpeechFrame]:
        attempts = 0
        failed_on: set[str] = set()
        while True:
            # Progress is counted in text, not in audio: a segment that kills each worker would repeat forever.
            began_at = progress.resume_at()
            opened = await self._sessions.get(avoid=failed_on)
            try:
                speech = self._speak_on(opened, buffer, progress, utterance_id, epoch)
                async with contextlib.aclosing(speech) as frames:
                    async for frame in frames:
                        yield frame
                        if frame.end:
                            opened.worker.succeeded()
                            return
            except VoiceplaneError as error:
                attempts = attempts + 1 if progress.resume_at() == began_at else 1
                self._sessions.abandon(opened)
                if error.code not in REROUTED_CODES and error.reason not in REOPENED_REASONS:
                    raise
                if attempts >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
                    raise
                if error.reason not in REOPENED_REASONS:
                    opened.worker.failed()
                    failed_on.add(opened.address)
                    _log.warning("rerouting", session_id=self._key, address=opened.address, reason=error.reason)
                    self._on_state(TtsState(kind="rerouted", reason=error.message, cause=error.reason))

    async def _speak_on(
        self, opened: OpenSession, buffer: TextBuffer, progress: PlayoutProgress, utterance_id: str, epoch: int
    ) -> AsyncGenerator[SpeechFrame]:
        """Speak the rest of an utterance on one worker."""
        text_base = progress.resume_at()
        media_base = progress.delivered_samples
        # For the worker the rest is an utterance of its own: it may know the utterance's id from the beginning.
        worker_utterance_id = f"{utterance_id}@{text_base}:{media_base}"
        async with contextlib.AsyncExitStack() as exits:
            call = tracing.child_span(SYNTHESIZE, kind="client", worker_session_id=opened.session.session_id)
            headers = exits.enter_context(call).headers()
            stream = opened.session.open_stream(credit_frames=self._credit_frames, headers=headers)
            await exits.enter_async_context(stream)
            if self._paused:
                await self._send_pause_state()  # before any text, so that no frame leaves
            sending = asyncio.create_task(_send_text(stream, buffer, text_base, worker_utterance_id, epoch))
            try:
                async for frame in stream:
                    if frame.utterance_id != worker_utterance_id or frame.epoch != epoch:
                        continue
                    self._sequence += 1
                    delivered = SpeechFrame(
                        pcm=frame.pcm,
                        sequence=self._sequence,
                        media_time_samples=media_base + frame.media_time_samples,
                        utterance_id=utterance_id,
                        epoch=epoch,
                        valid_samples=frame.valid_samples,
                        end=bool(frame.end),
                        text_start=text_base + frame.text_start,
                        text_end=text_base + frame.text_end,
                        compute_us=frame.compute_us,
                    )
                    progress.delivered(
                        media_time_samples=delivered.media_time_samples,
                        valid_samples=delivered.valid_samples,
                        text_start=delivered.text_start,
                        text_end=delivered.text_end,
                        end=delivered.end,
                    )
                    yield delivered
                raise VoiceplaneError(grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED", "the worker ended the stream early")
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)  # reading the stream raises the reason

    async def _send_pause_state(self) -> None:
        """Send the worker the present state, paused or not; the lock keeps the latest command last."""
        async with self._control_lock:
            opened = self._sessions.current
            if opened is None:
                return
            try:
                await (opened.session.pause() if self._paused else opened.session.resume())
            except VoiceplaneError as error:  # a dead worker is silent, and its successor gets the state at its start
                _log.warning("control_failed", session_id=self._key, paused=self._paused, reason=error.reason)


async def _send_text(stream: SpeechStream, buffer: TextBuffer, start: int, utterance_id: str, epoch: int) -> None:
    """Send an utterance's text from an offset on, as it arrives."""
    async for text in buffer.read(start):
        for begin in range(0, len(text), CHUNK_CHARS):
            await stream.send(text[begin : begin + CHUNK_CHARS], utterance_id=utterance_id, epoch=epoch)
    await stream.send("", utterance_id=utterance_id, epoch=epoch, end=True)
