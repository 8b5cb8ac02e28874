"""A session's speech output: utterances on their way to the client, and how far the client has played them.

PAUSE and STOP go to the client first and to the worker second, because the client's buffer is what sounds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal

from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, internal
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.sessions.control_queue import ControlQueue
from voiceplane_orchestrator.sessions.events import (
    Done,
    Latency,
    Pause,
    Reply,
    Resume,
    Stop,
    Transcript,
    UtteranceStarted,
    error_event,
)
from voiceplane_orchestrator.sessions.playout import PlayoutTracker
from voiceplane_orchestrator.sessions.utterance import ActiveVoice, AgentUtterance
from voiceplane_orchestrator.sessions.utterance_metrics import UtteranceMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voiceplane_common.clock import Clock
    from voiceplane_common.tracing import Span

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.sessions.output_transport import OutputTransport
    from voiceplane_orchestrator.sessions.retention import Retention
    from voiceplane_orchestrator.sessions.utterance_metrics import LatencyStart
    from voiceplane_orchestrator.tts.base import Tts

_log = get_logger("speech_output")


class SpeechOutput:
    """Speaks one utterance at a time. The owner must close() it.

    Attributes:
        epoch: The generation epoch; frames of an older one are dropped.
        active_voice: The voice of the session on the worker.
    """

    def __init__(
        self,
        *,
        session_id: str,
        tts: Tts,
        output: OutputTransport,
        metrics: Metrics,
        clock: Clock,
        retention: Retention,
        follow_playout: bool,
        on_started: Callable[[AgentUtterance], None],
        on_ended: Callable[[AgentUtterance], None],
    ) -> None:
        """Prepare, and open the TTS in the background.

        Args:
            session_id: For logs and file names.
            tts: Owned from now on.
            output: Takes frames and events.
            metrics: Of the process.
            clock: Measures latencies and playout.
            retention: Keeps the audio that was sent, if audio is kept.
            follow_playout: Whether an utterance ends when the client has played it, rather than when it was sent.
            on_started: Called just before the first frame of an utterance is sent.
            on_ended: Called when an utterance has ended, with any result, after its last event was sent.
        """
        self.epoch = 1
        self.active_voice = ActiveVoice()
        self._session_id = session_id
        self._tts = tts
        self._output = output
        self._metrics = metrics
        self._clock = clock
        self._retention = retention
        self._follow_playout = follow_playout
        self._on_started = on_started
        self._on_ended = on_ended
        self._count = 0
        self._current: AgentUtterance | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._playout = PlayoutTracker(clock)
        self._controls = ControlQueue(session_id=session_id)
        self._opening = asyncio.create_task(self._open(), name="speech-output-open")
        self._sending_controls = asyncio.create_task(self._controls.run(), name="speech-output-controls")

    @property
    def paused(self) -> bool:
        """Whether the speech is paused: neither resumed nor stopped yet."""
        return self._playout.paused

    @property
    def busy(self) -> bool:
        """Whether an utterance is in progress: being written, spoken or played."""
        return self._current is not None

    async def start(
        self, text: AsyncIterator[str], *, since_s: float, after: LatencyStart = "text", span: Span | None = None
    ) -> AgentUtterance:
        """Begin an utterance; one that is in progress is stopped.

        Args:
            text: Its text, as it is written.
            since_s: Start of its latency: the end of the user's speech, or the first text.
            after: Which of the two.
            span: The span of the turn that it answers; without one, it is a trace of its own.
        """
        if self.busy:
            await self.stop()
        self._count += 1
        span = span or tracing.start_span(
            "utterance", began_s=since_s, session_id=self._session_id, utterance=self._count
        )
        metrics = UtteranceMetrics(
            session_id=self._session_id,
            utterance=self._count,
            since_s=since_s,
            after=after,
            span=span,
            metrics=self._metrics,
            clock=self._clock,
        )
        utterance = AgentUtterance(number=self._count, epoch=self.epoch, metrics=metrics)
        self._current = utterance
        with tracing.use_span(span):
            self._speaking = asyncio.create_task(self._speak(utterance, text), name="speech-output-speak")
        return utterance

    async def wait(self) -> None:
        """Return when no utterance is in progress."""
        if self._speaking is not None:
            await asyncio.wait([self._speaking])

    async def pause(self) -> None:
        """Pause the speech."""
        if self.paused:
            return
        self._playout.pause()
        if self._current is not None:
            self._current.metrics.paused()
        await self._output.send_event(Pause(epoch=self.epoch))
        self._controls.put(self._tts.pause)

    async def resume(self) -> None:
        """Continue where pause() stopped."""
        if not self.paused:
            return
        self._playout.resume()
        await self._output.send_event(Resume(epoch=self.epoch))
        self._controls.put(self._tts.resume)

    async def stop(self) -> None:
        """Drop the utterance in progress, and raise the epoch in any case."""
        self.epoch += 1
        epoch, utterance = self.epoch, self._current
        self._playout.paused = False
        await self._output.send_event(Stop(epoch=epoch))
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])
        self._controls.put(lambda: self._tts.stop(epoch=epoch))
        if utterance is not None and self._current is utterance:
            await self._end(utterance, "interrupted")

    def heard(self, *, utterance: int, media_time_samples: int) -> None:
        """Note the client's playout report, in samples of 48 kHz; an implausible or outdated one is ignored."""
        current = self._current
        if current is None or current.number != utterance:
            return
        if self._playout.report(current, media_time_samples):
            self._tts.heard(utterance_id=current.utterance_id, media_time_samples=media_time_samples)

    def select(self, request: VoiceRequest) -> None:
        """Use another voice from the next utterance on."""
        self._tts.select(request)

    async def fail(self, error: Exception) -> None:
        """Send the client an error that does not end the session."""
        if not isinstance(error, VoiceplaneError):
            _log.error("session step failed", session_id=self._session_id, exc_info=error)
            error = internal()
        self._metrics.error_told(error.reason)
        await self._output.send_event(error_event(error))

    async def close(self) -> None:
        """Stop for good and free everything; sends the client nothing."""
        for task in (self._opening, self._speaking, self._sending_controls):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._current is not None:
            self._current.metrics.span.end()
        await self._tts.close()

    # ---------------------------------------------------------------- one utterance

    async def _open(self) -> None:
        """Open the TTS early, so that the first utterance does not wait. If it fails, that utterance reports it."""
        try:
            await self._tts.open()
        except VoiceplaneError as error:
            _log.warning("no worker session yet", session_id=self._session_id, reason=error.reason)

    async def _speak(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> None:
        try:
            try:
                await self._controls.wait_sent()  # a STOP on its way must not stop the new utterance
                await self._send_frames(utterance, text)
            except ConnectionError:
                raise
            except Exception as error:  # the session continues after any error
                await self.fail(error)
                await self._end(utterance, "failed")
                return
            result: Literal["complete", "empty"] = "complete" if utterance.samples else "empty"
            await self._output.send_event(
                Done(
                    utterance=utterance.number,
                    epoch=utterance.epoch,
                    result=result,
                    samples=utterance.samples,
                    compute_ms=utterance.compute_us / 1000 if utterance.compute_us else None,
                )
            )
            if self._follow_playout and not await self._playout.wait_played(utterance):
                self._tts.heard(utterance_id=utterance.utterance_id, media_time_samples=utterance.samples)
            await self._end(utterance, result)
        except ConnectionError:
            return  # the client is gone; the transport ends the session

    async def _send_frames(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> None:
        chunks = self._observe_text(utterance, text)
        speech = self._tts.speak(chunks, utterance_id=utterance.utterance_id, epoch=utterance.epoch)
        async with contextlib.aclosing(speech) as frames:
            async for frame in frames:
                if frame.epoch < self.epoch:
                    continue
                if not frame.valid_samples and not utterance.samples:
                    continue  # the text had nothing that can be spoken
                if utterance.started_s is None:
                    await self._begin(utterance)
                utterance.samples = frame.media_time_samples + frame.valid_samples
                utterance.compute_us = frame.compute_us
                if self._retention.enabled:
                    utterance.kept += frame.pcm
                utterance.metrics.frame_sent(paused=self.paused)
                await self._output.send_frame(frame)

    async def _observe_text(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> AsyncIterator[str]:
        """Pass the text on, and note when it arrives."""
        async for chunk in text:
            if chunk and not utterance.text:
                waited_s = utterance.metrics.first_text_arrived()
                await self._output.send_event(Latency(utterance=utterance.number, reply_first_token_ms=_ms(waited_s)))
            utterance.text += chunk
            yield chunk
            if chunk and self._follow_playout:  # after the TTS has it: the event must not delay the speech
                await self._output.send_event(Reply(utterance=utterance.number, text=chunk))
        utterance.metrics.text_complete()

    async def _begin(self, utterance: AgentUtterance) -> None:
        utterance.started_s = self._clock.now()
        waited_s = utterance.metrics.first_frame(model=self.active_voice.model)
        self._on_started(utterance)
        await self._output.send_event(
            UtteranceStarted(
                utterance=utterance.number,
                epoch=utterance.epoch,
                model=self.active_voice.model,
                voice=self.active_voice.voice,
                fallback=self.active_voice.fallback,
                reason=self.active_voice.reason,
            )
        )
        await self._output.send_event(Latency(utterance=utterance.number, first_audio_ms=_ms(waited_s)))

    async def _end(
        self, utterance: AgentUtterance, result: Literal["complete", "empty", "interrupted", "failed"]
    ) -> None:
        self._current = None
        utterance.result = result
        utterance.metrics.ended(result)
        utterance.heard_text = self._tts.text_heard(utterance.utterance_id)
        interrupted = result in {"interrupted", "failed"}
        if interrupted:
            await self._output.send_event(
                Done(utterance=utterance.number, epoch=utterance.epoch, result="interrupted", samples=utterance.samples)
            )
        if utterance.samples and (self._follow_playout or interrupted):
            await self._output.send_event(
                Transcript(
                    role="agent",
                    utterance=utterance.number,
                    text=utterance.heard_text,
                    interrupted=interrupted,
                    unheard=utterance.text.strip().removeprefix(utterance.heard_text) if interrupted else "",
                )
            )
        self._on_ended(utterance)
        if utterance.kept:
            await self._retention.save(
                session_id=self._session_id,
                name=f"agent-{utterance.number}",
                pcm=bytes(utterance.kept),
                sample_rate_hz=SAMPLE_RATE_HZ,
            )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
