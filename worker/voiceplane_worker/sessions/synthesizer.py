"""Synthesizes the utterances of one stream into frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_common.frames import FRAME_SAMPLES, FRAME_SECONDS, SILENCE
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.adapters.out_of_memory import is_out_of_memory
from voiceplane_worker.audio.chain import AudioChain
from voiceplane_worker.audio.framing import Frame
from voiceplane_worker.sessions.frame_pacer import ReadyFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.residency.memory_recovery import MemoryRecovery
    from voiceplane_worker.residency.model_entry import LoadedModel
    from voiceplane_worker.residency.model_reference import ModelReference
    from voiceplane_worker.scheduler import DeadlineScheduler
    from voiceplane_worker.sessions.frame_pacer import FramePacer
    from voiceplane_worker.sessions.utterance_text import UtteranceText
    from voiceplane_worker.text.segmenter import TextSegment


# A new utterance yields to streams whose listeners run dry within this time, and to no others.
FIRST_CHUNK_SLACK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """The voice, language and speed of a session."""

    voice: str
    language: str
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """When an inference step was queued, began and ended; monotonic seconds."""

    asked_s: float
    began_s: float
    ended_s: float

    @property
    def waited_s(self) -> float:
        """How long it was queued."""
        return self.began_s - self.asked_s


@dataclass(slots=True)
class SynthesisCost:
    """The cost of an utterance.

    Attributes:
        compute_s: Seconds of inference and audio processing.
        audio_s: Seconds of synthesized audio.
        first_step: Times of its first inference step, after that has ended.
    """

    compute_s: float = 0.0
    audio_s: float = 0.0
    first_step: StepTimes | None = None


class UtteranceSynthesizer:
    """Synthesizes one utterance at a time, segment by segment and chunk by chunk, into a frame pacer."""

    def __init__(
        self,
        *,
        model_ref: ModelReference,
        voice_settings: VoiceSettings,
        scheduler: DeadlineScheduler,
        frame_pacer: FramePacer,
        memory: MemoryRecovery | None = None,
    ) -> None:
        """Prepare.

        Args:
            model_ref: The session's model.
            voice_settings: The session's choices.
            scheduler: Runs inference steps.
            frame_pacer: Takes the frames.
            memory: Frees memory when the device has run out of it; None to fail at once.
        """
        self._model_ref = model_ref
        self._voice_settings = voice_settings
        self._scheduler = scheduler
        self._frame_pacer = frame_pacer
        self._memory = memory
        self._gains: dict[int, float] = {}  # final gain of the latest utterance, by model generation

    async def speak(self, utterance: UtteranceText, cost: SynthesisCost) -> None:
        """Synthesize an utterance as its text arrives, and mark its last frame.

        Raises:
            Exception: Whatever the model raises.
        """
        first = await utterance.next_segment()
        if first is None:
            self._frame_pacer.put([_silent_end(utterance, tts_pb2.UTTERANCE_END_EMPTY)])
            return
        with self._model_ref.use() as loaded:
            progress = _UtteranceProgress(utterance, loaded, gain_db=self._gains.get(loaded.generation, loaded.gain_db))
            segment: TextSegment | None = first
            while segment is not None:
                await self._synthesize_segment(progress, segment, cost)
                segment = await utterance.next_segment()
            self._frame_pacer.hold_start(False)
            self._frame_pacer.put(progress.finish(cost))
            self._gains = {loaded.generation: progress.chain.gain_db}

    async def _synthesize_segment(
        self, progress: _UtteranceProgress, segment: TextSegment, cost: SynthesisCost
    ) -> None:
        """Synthesize a segment; out of memory, once more after idle models have gone, if nothing of it was spoken."""
        began_at = progress.chunks
        try:
            await self._synthesize_once(progress, segment, cost)
        except Exception as error:
            if self._memory is None or not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # its frames hold what had been allocated
            evicted = await self._memory.free()
            if progress.chunks == began_at:
                try:
                    await self._synthesize_once(progress, segment, cost)
                except Exception as again:
                    if not is_out_of_memory(again):
                        raise
                    error, again.__traceback__ = again, None
                else:
                    return
            model_id = self._model_ref.model_id
            raise await self._memory.explain(model_id, error, doing="used", evicted=evicted) from None

    async def _synthesize_once(self, progress: _UtteranceProgress, segment: TextSegment, cost: SynthesisCost) -> None:
        chunks = progress.loaded.model.synthesize(
            Piece(
                text=segment.text,
                voice=self._voice_settings.voice,
                language=self._voice_settings.language,
                speed=self._voice_settings.speed,
            )
        )

        if segment.pause_ms:
            silence = np.zeros(progress.loaded.model.sample_rate_hz * segment.pause_ms // 1000, dtype=np.float32)
            self._frame_pacer.put(progress.frames(progress.chain.push(silence), segment))
        asked_s = 0.0

        def step() -> list[Frame] | None:
            began_s = time.monotonic()
            samples = next(chunks, None)
            frames = None if samples is None else progress.chain.push(samples)
            ended_s = time.monotonic()
            cost.compute_s += ended_s - began_s
            cost.first_step = cost.first_step or StepTimes(asked_s=asked_s, began_s=began_s, ended_s=ended_s)
            cost.audio_s += 0.0 if samples is None else len(samples) / progress.loaded.model.sample_rate_hz
            return frames

        try:
            while True:
                await self._frame_pacer.room()
                slack_s = 0.0 if progress.chunks else FIRST_CHUNK_SLACK_S
                deadline = self._frame_pacer.deadline() + slack_s
                asked_s = time.monotonic()
                frames = await self._scheduler.run(
                    step, deadline=deadline, kind=_kind(progress.chunks), background=self._frame_pacer.unpaced
                )
                if frames is None:
                    return
                ready = progress.frames(frames, segment)
                self._guard(progress, len(ready) * FRAME_SECONDS)
                self._frame_pacer.put(ready)
        finally:
            _close(chunks)

    def _guard(self, progress: _UtteranceProgress, new_s: float) -> None:
        """Hold the utterance's start while the next chunk takes longer than the ready audio lasts."""
        ahead_s = self._frame_pacer.ahead_s + new_s
        deadline = self._frame_pacer.deadline() + new_s
        self._frame_pacer.hold_start(self._scheduler.expected_s(_kind(progress.chunks), deadline=deadline) > ahead_s)


class _UtteranceProgress:
    """The progress of one utterance: its model, its audio chain and its position."""

    def __init__(self, utterance: UtteranceText, loaded: LoadedModel, *, gain_db: float) -> None:
        self.loaded = loaded
        self.chunks = 0
        self.chain = AudioChain(model_rate_hz=loaded.model.sample_rate_hz, gain_db=gain_db)
        self._utterance = utterance
        self._media_time_samples = 0
        self._text_start = 0
        self._text_end = 0

    def frames(self, frames: list[Frame], segment: TextSegment) -> list[ReadyFrame]:
        """The frames of a segment."""
        self.chunks += 1
        self._text_start, self._text_end = segment.start, segment.end
        return [self._frame(frame) for frame in frames]

    def finish(self, cost: SynthesisCost) -> list[ReadyFrame]:
        """The last frames; the very last one marks the end of the utterance, and has its cost."""
        tail = self.chain.finish() or [Frame(pcm=SILENCE, valid_samples=0)]
        last = [self._frame(frame) for frame in tail]
        last[-1] = replace(last[-1], end=tts_pb2.UTTERANCE_END_COMPLETE, compute_us=round(cost.compute_s * 1_000_000))
        return last

    def _frame(self, frame: Frame) -> ReadyFrame:
        began = self._media_time_samples
        self._media_time_samples += FRAME_SAMPLES
        return ReadyFrame(
            utterance=self._utterance,
            pcm=frame.pcm,
            valid_samples=frame.valid_samples,
            media_time_samples=began,
            text_start=self._text_start,
            text_end=self._text_end,
        )


def _kind(chunk: int) -> str:
    """The scheduling kind of a chunk: early chunks are smaller, and the first includes the text encoder."""
    return ("first", "second", "later")[min(chunk, 2)]


def _silent_end(utterance: UtteranceText, end: int) -> ReadyFrame:
    """A frame without speech that only marks the end of an utterance."""
    return ReadyFrame(
        utterance=utterance,
        pcm=SILENCE,
        valid_samples=0,
        media_time_samples=0,
        text_start=0,
        text_end=0,
        end=end,
    )


def _close(chunks: Iterator[Samples]) -> None:
    """Close a model's generator; it is not running, since the scheduler has delivered its last step."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
