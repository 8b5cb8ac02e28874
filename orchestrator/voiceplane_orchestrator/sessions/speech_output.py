"""What a session says: utterances on their way to the listener, and how far the listener has heard them.

An order to be silent goes to the listener first and to the worker second, since the listener's buffer is what sounds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal

from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, internal
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_common.logs import get_logger

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
from voiceplane_orchestrator.sessions.utterance import ActiveVoice, AgentUtterance
from voiceplane_orchestrator.sessions.utterance_metrics import UtteranceMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from voiceplane_common.clock import Clock
    from voiceplane_common.tracing import Span

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.sessions.output_transport import OutputTransport
    from voiceplane_orchestrator.sessions.retention import Retention
    from voiceplane_orchestrator.sessions.utterance_metrics import LatencyStart
    from voiceplane_orchestrator.tts.base import Tts

PLAYOUT_REPORT_GRACE_S = 2.0
"""After the time in which an utterance should have been played, how long its playout report may be missing."""

_log = get_logger("speech_output")


class SpeechOutput:
    """Speaks one utterance at a time. The owner must close() it.

    Attributes:
        epoch: The generation epoch; frames of an older one are dropped.
        paused: Asked to hold the speech, and neither to resume nor to stop yet.
        active_voice: Of the session on the worker.
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
        """Make a mouth that is silent.

        Args:
            session_id: For logs and file names.
            tts: Opened here in the background; owned from now on.
            output: Where frames and events go.
            metrics: Of the process.
            clock: For latencies and for the wait until an utterance was heard.
            retention: Keeps the audio that was sent, if anything does.
            follow_playout: An utterance ends when it was heard, not already when it was sent.
            on_started: Called when the first frame of an utterance is about to be sent.
            on_ended: Called when an utterance has ended, for whatever reason, after its last event was sent.
        """
        self.epoch = 1
        self.paused = False
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
        self._progress = asyncio.Event()
        self._worker_controls: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._opening = asyncio.create_task(self._open(), name="speech-output-open")
        self._control_task = asyncio.create_task(self._send_worker_controls(), name="speech-output-controls")

    @property
    def busy(self) -> bool:
        """Whether an utterance is under way: being written, spoken or heard."""
        return self._current is not None

    async def start(
        self, text: AsyncIterator[str], *, since_s: float, after: LatencyStart = "text", span: Span | None = None
    ) -> AgentUtterance:
        """Begin an utterance; what is under way is stopped.

        Args:
            text: As it is written.
            since_s: When the wait for it began: the end of the user's speech, or the first text.
            after: Which of the two.
            span: Of the turn that it answers; without one, it is a trace of its own.
        """
        if self.busy:
            await self.stop()
        self._count += 1
        span = span or tracing.start_span(
            "utterance", began_s=since_s, session_id=self._session_id, utterance=self._count
        )
        utterance_metrics = UtteranceMetrics(
            session_id=self._session_id,
            utterance=self._count,
            since_s=since_s,
            after=after,
            span=span,
            metrics=self._metrics,
            clock=self._clock,
        )
        utterance = AgentUtterance(number=self._count, epoch=self.epoch, metrics=utterance_metrics)
        self._current = utterance
        with tracing.use_span(span):
            self._speaking = asyncio.create_task(self._speak(utterance, text), name="speech-output-speak")
        return utterance

    async def wait(self) -> None:
        """Return when nothing is under way."""
        if self._speaking is not None:
            await asyncio.wait([self._speaking])

    async def pause(self) -> None:
        """Fall silent, and be ready to go on."""
        if self.paused:
            return
        self.paused = True
        if self._current is not None:
            self._current.metrics.paused()
        self._progress.set()
        await self._output.send_event(Pause(epoch=self.epoch))
        self._worker_controls.put_nowait(self._tts.pause)

    async def resume(self) -> None:
        """Go on where pause() stopped."""
        if not self.paused:
            return
        self.paused = False
        self._progress.set()
        await self._output.send_event(Resume(epoch=self.epoch))
        self._worker_controls.put_nowait(self._tts.resume)

    async def stop(self) -> None:
        """Drop what is under way, and raise the epoch in any case."""
        self.epoch += 1
        epoch, utterance = self.epoch, self._current
        self.paused = False
        await self._output.send_event(Stop(epoch=epoch))
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])
        self._worker_controls.put_nowait(lambda: self._tts.stop(epoch=epoch))
        if utterance is not None and self._current is utterance:
            await self._end(utterance, "interrupted")

    def heard(self, *, utterance: int, media_time_samples: int) -> None:
        """The listener's report; one that goes back or too far, or is about another utterance, is ignored."""
        current = self._current
        if current is None or current.number != utterance:
            return
        if not current.heard_samples <= media_time_samples <= current.samples:
            return
        current.heard_samples = media_time_samples
        current.reported_s = self._clock.now()
        self._tts.heard(utterance_id=current.utterance_id, media_time_samples=media_time_samples)
        self._progress.set()

    def select(self, wanted: VoiceRequest) -> None:
        """Speak with something else from the next utterance on."""
        self._tts.select(wanted)

    async def close(self) -> None:
        """Fall silent for good and free everything; says nothing to the listener."""
        for task in (self._opening, self._speaking, self._control_task):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._current is not None:
            self._current.metrics.span.end()
        await self._tts.close()

    # ---------------------------------------------------------------- one utterance

    async def _speak(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> None:
        try:
            try:
                await self._worker_controls.join()  # a STOP on its way must not meet the new utterance
                await self._send_frames(utterance, text)
            except ConnectionError:
                raise
            except Exception as error:  # whatever it was, the session goes on
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
            if self._follow_playout:
                await self._wait_played_out(utterance)
            await self._end(utterance, result)
        except ConnectionError:
            return  # the listener is gone; the transport ends the session

    async def _send_frames(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> None:
        pieces = self._tap_text(utterance, text)
        speech = self._tts.speak(pieces, utterance_id=utterance.utterance_id, epoch=utterance.epoch)
        async with contextlib.aclosing(speech) as frames:
            async for frame in frames:
                if frame.epoch < self.epoch:
                    continue
                if not frame.valid_samples and not utterance.samples:
                    continue  # it held nothing that can be spoken
                if utterance.started_s is None:
                    await self._begin(utterance)
                utterance.samples = frame.media_time_samples + frame.valid_samples
                utterance.compute_us = frame.compute_us
                if self._retention.enabled:
                    utterance.kept += frame.pcm
                utterance.metrics.frame_sent(paused=self.paused)
                await self._output.send_frame(frame)

    async def _tap_text(self, utterance: AgentUtterance, text: AsyncIterator[str]) -> AsyncIterator[str]:
        async for piece in text:
            if piece and not utterance.text:
                waited_s = utterance.metrics.first_text_arrived()
                await self._output.send_event(Latency(utterance=utterance.number, reply_first_token_ms=_ms(waited_s)))
            utterance.text += piece
            yield piece
            if piece and self._follow_playout:  # after it is on its way: what is read never delays what is heard
                await self._output.send_event(Reply(utterance=utterance.number, text=piece))
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

    async def _wait_played_out(self, utterance: AgentUtterance) -> None:
        while utterance.heard_samples < utterance.samples:
            self._progress.clear()
            waits_s = None if self.paused else self._remaining_playout_s(utterance) + PLAYOUT_REPORT_GRACE_S
            try:
                async with asyncio.timeout(waits_s):
                    await self._progress.wait()
            except TimeoutError:
                self._tts.heard(utterance_id=utterance.utterance_id, media_time_samples=utterance.samples)
                return

    def _remaining_playout_s(self, utterance: AgentUtterance) -> float:
        rest_s = (utterance.samples - utterance.heard_samples) / SAMPLE_RATE_HZ
        since_s = utterance.started_s if utterance.reported_s is None else utterance.reported_s
        elapsed_s = 0.0 if since_s is None else self._clock.now() - since_s
        return max(0.0, rest_s - elapsed_s)

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

    # ---------------------------------------------------------------- the worker's side

    async def _open(self) -> None:
        """So that the first word does not wait for a session; the first utterance tells if that is impossible."""
        try:
            await self._tts.open()
        except VoiceplaneError as error:
            _log.warning("no worker session yet", session_id=self._session_id, reason=error.reason)

    async def _send_worker_controls(self) -> None:
        """Worker controls one after another, off the path of the user's audio."""
        while True:
            order = await self._worker_controls.get()
            try:
                await order()
            except (
                VoiceplaneError
            ) as error:  # the listener is silent already; a lost worker is the speaker's to replace
                _log.warning("worker control failed", session_id=self._session_id, reason=error.reason)
            finally:
                self._worker_controls.task_done()

    async def fail(self, error: Exception) -> None:
        """Tell the listener about an error that does not end the session."""
        if not isinstance(error, VoiceplaneError):
            _log.error("session step failed", session_id=self._session_id, exc_info=error)
            error = internal()
        self._metrics.error_told(error.reason)
        await self._output.send_event(error_event(error))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
