"""One Synthesize stream: text in, frames out, and STOP for everything in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING

import grpc
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition, invalid
from voiceplane_common.logs import get_logger
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.sessions.frame_pacer import FramePacer
from voiceplane_worker.sessions.synthesizer import SynthesisCost, UtteranceSynthesizer
from voiceplane_worker.sessions.utterance_text import UtteranceText
from voiceplane_worker.text.reader import TextReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_worker.sessions.session_context import StreamSession
    from voiceplane_worker.sessions.synthesizer import StepTimes

# Limit of pending text over all utterances of a stream: hours of speech, and a bound on memory.
MAX_PENDING_CHARS = 262_144

_log = get_logger("stream")


class SynthesisStream:
    """A stream of a session. Confined to the event loop."""

    def __init__(self, session: StreamSession) -> None:
        """Start to speak text as it arrives; close() must be awaited."""
        self._session = session
        limits = session.services.settings
        self.frame_pacer = FramePacer(
            burst_frames=limits.burst_frames,
            buffer_ms=limits.buffer_ms,
            credit_frames=0 if session.profile.credit_flow_control else None,
            on_late_frame=session.services.load.frame_left,
            unpaced=session.profile.unpaced,
        )
        self._synthesizer = UtteranceSynthesizer(
            model_ref=session.model_ref,
            voice_settings=session.profile.voice_settings,
            scheduler=session.services.scheduler,
            frame_pacer=self.frame_pacer,
            memory=session.services.memory,
        )
        self._utterances: deque[UtteranceText] = deque()
        self._arrived = asyncio.Event()
        self._no_more_text = False
        self._speaking: UtteranceText | None = None
        self._stopped: set[asyncio.Task[None]] = set()
        self._span = tracing.current_span()
        self._leaving_since_s: float | None = None
        self._synthesis = self._start_synthesis()

    def accept(self, chunk: tts_pb2.TextChunk) -> None:
        """Take a chunk of text, or a grant of credit.

        Raises:
            VoiceplaneError: The chunk can't be accepted; the stream must end.
        """
        self._check(chunk)
        self.frame_pacer.grant(chunk.credit_frames)
        if not (chunk.text or chunk.flush or chunk.end_of_utterance or chunk.epoch):
            return
        epoch = chunk.epoch or self._session.epoch
        if epoch > self._session.epoch:
            self._session.raise_epoch(epoch)
        if epoch < self._session.epoch or not (chunk.text or chunk.flush or chunk.end_of_utterance):
            return
        self._utterance(chunk.utterance_id, epoch).add(chunk.text, flush=chunk.flush, end=chunk.end_of_utterance)
        self._arrived.set()

    def no_more_text(self) -> None:
        """The client has half-closed: no more text arrives."""
        self._no_more_text = True
        if self._utterances and not self._utterances[-1].ended:
            self._utterances[-1].add("", flush=False, end=True)
        elif self._speaking and not self._speaking.ended:
            self._speaking.add("", flush=False, end=True)
        self._arrived.set()

    async def frames(self) -> AsyncIterator[tts_pb2.AudioFrame]:
        """The paced frames, until all text has been spoken.

        Raises:
            VoiceplaneError: Synthesis failed, or the session ended.
        """
        while (frame := await self.frame_pacer.take()) is not None:
            sequence = self._session.next_sequence()
            if frame.valid_samples and not frame.utterance.heard:
                frame.utterance.heard = True
                self._leaving_since_s = time.monotonic()
                self._session.services.load.first_frame_left(frame.utterance, model_id=self._session.model_ref.model_id)
            yield tts_pb2.AudioFrame(
                pcm=frame.pcm,
                sequence=sequence,
                media_time_samples=frame.media_time_samples,
                utterance_id=frame.utterance.utterance_id,
                epoch=frame.utterance.epoch,
                valid_samples=frame.valid_samples,
                end=tts_pb2.UtteranceEnd.ValueType(frame.end),
                text_start=frame.text_start,
                text_end=frame.text_end,
                compute_us=frame.compute_us,
            )
            if frame.end:
                self._trace_stream()

    def stop(self) -> int:
        """Drop everything that is queued and cancel its synthesis; returns the number of dropped frames."""
        self._utterances.clear()
        self._speaking = None
        self._synthesis.cancel()
        self._stopped.add(self._synthesis)
        self._synthesis.add_done_callback(self._stopped.discard)
        # The next turn does not wait for the running step of the old one, which can't be interrupted.
        self._synthesis = self._start_synthesis()
        self._trace_stream()
        return self.frame_pacer.drop()

    def fail(self, error: BaseException) -> None:
        """End the stream with an error, after the frames that are ready."""
        self.frame_pacer.fail(error)

    async def close(self) -> None:
        """Cancel the synthesis; returns when it has ended."""
        self._trace_stream()
        self._synthesis.cancel()
        for task in (self._synthesis, *self._stopped):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])

    def _start_synthesis(self) -> asyncio.Task[None]:
        with tracing.use_span(self._span):
            return asyncio.create_task(self._synthesize())

    def _trace_step(self, step: StepTimes) -> None:
        self._span.interval("queue_wait", began_s=step.asked_s, ended_s=step.began_s)
        self._span.interval("first_chunk", began_s=step.began_s, ended_s=step.ended_s)

    def _trace_stream(self) -> None:
        """Add a span from an utterance's first frame to its last, or to now if it is cancelled."""
        since_s, self._leaving_since_s = self._leaving_since_s, None
        if since_s is not None:
            self._span.interval("stream", began_s=since_s)

    def _check(self, chunk: tts_pb2.TextChunk) -> None:
        limit = self._session.services.settings.max_chunk_chars
        if chunk.session_id and chunk.session_id != self._session.session_id:
            raise invalid("session_id", "a stream serves one session: open another stream for another session")
        if len(chunk.text) > limit:
            raise invalid(
                "text",
                f"text has {len(chunk.text)} characters, and the limit of a chunk is {limit}: send several chunks",
                reason="TEXT_TOO_LONG",
            )
        pending = sum(utterance.pending_chars for utterance in self._utterances) + len(chunk.text)
        pending += self._speaking.pending_chars if self._speaking else 0
        if pending > MAX_PENDING_CHARS:
            raise exhausted(
                "TEXT_BACKLOG",
                f"{pending} characters are pending, and the limit is {MAX_PENDING_CHARS}: send text as it is spoken",
                field="text",
            )
        if chunk.credit_frames and not self._session.profile.credit_flow_control:
            raise failed_precondition(
                "NO_CREDIT_FLOW_CONTROL",
                "the session has no credit flow control: set credit_flow_control in StartSession",
                field="credit_frames",
            )

    def _utterance(self, utterance_id: str, epoch: int) -> UtteranceText:
        latest = self._utterances[-1] if self._utterances else self._speaking
        if latest and utterance_id in {"", latest.utterance_id}:
            if not latest.ended:
                return latest
            if utterance_id:
                raise invalid("utterance_id", f"utterance {utterance_id!r} has ended: use another id for more text")
        if latest and not latest.ended:
            latest.add("", flush=False, end=True)  # the next utterance begins, so the one before has all its text
        profile = self._session.profile
        utterance = UtteranceText(
            utterance_id=utterance_id or uuid.uuid4().hex,
            epoch=epoch,
            reader=TextReader(
                language=profile.voice_settings.language,
                segmentation=profile.segmentation,
                policy=profile.text_policy,
            ),
            quiet_ms=self._session.services.settings.quiet_ms,
        )
        self._utterances.append(utterance)
        return utterance

    async def _synthesize(self) -> None:
        load = self._session.services.load
        try:
            while (utterance := await self._next_utterance()) is not None:
                cost = SynthesisCost()
                load.utterance_began()
                try:
                    await self._synthesizer.speak(utterance, cost)
                finally:
                    load.utterance_ended(cost, model_id=self._session.model_ref.model_id)
                    if cost.first_step is not None:
                        self._trace_step(cost.first_step)
                self._speaking = None if self._speaking is utterance else self._speaking
            self.frame_pacer.close()
        except VoiceplaneError as error:
            self.fail(error)
        except Exception as error:
            _log.exception("synthesis_failed", session_id=self._session.session_id)
            message = f"the model failed ({type(error).__name__}); the worker's log has the details"
            self.fail(VoiceplaneError(grpc.StatusCode.INTERNAL, "SYNTHESIS_FAILED", message))

    async def _next_utterance(self) -> UtteranceText | None:
        while not self._utterances:
            if self._no_more_text:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        self._speaking = self._utterances.popleft()
        return self._speaking
