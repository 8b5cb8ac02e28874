"""Turning the utterances of one stream into frames: the model's side of a Synthesize call."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from voiceplane_common.frames import FRAME_SAMPLES, FRAME_SECONDS, SILENCE
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.audio.chain import AudioChain
from voiceplane_worker.audio.framing import Frame
from voiceplane_worker.sessions.outlet import ReadyFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.compute import ComputePool
    from voiceplane_worker.models.entry import LoadedModel
    from voiceplane_worker.models.lease import Lease
    from voiceplane_worker.sessions.outlet import Outlet
    from voiceplane_worker.sessions.utterance import Utterance
    from voiceplane_worker.text.splitter import TextPiece


# A new utterance gives way to those whose listeners are about to run dry, and to no others.
FIRST_CHUNK_SLACK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a session wants its speech."""

    voice: str
    language: str
    speed: float


@dataclass(slots=True)
class SpeechCost:
    """What an utterance has cost.

    Attributes:
        compute_s: Seconds of inference and audio processing.
        audio_s: Seconds of audio that they gave.
    """

    compute_s: float = 0.0
    audio_s: float = 0.0


class Narrator:
    """Speaks one utterance at a time: piece by piece, chunk by chunk, into an outlet."""

    def __init__(self, *, lease: Lease, delivery: Delivery, pool: ComputePool, outlet: Outlet) -> None:
        self._lease = lease
        self._delivery = delivery
        self._pool = pool
        self._outlet = outlet
        self._gains: dict[int, float] = {}  # with which the latest utterance of a model's generation has ended

    async def speak(self, utterance: Utterance, cost: SpeechCost) -> None:
        """Speak all of an utterance, as its text arrives, and mark its last frame.

        Raises:
            Exception: Whatever the model raises.
        """
        first = await utterance.next_piece()
        if first is None:
            self._outlet.put([_silent_end(utterance, tts_pb2.UTTERANCE_END_EMPTY)])
            return
        with self._lease.use() as loaded:
            telling = _Telling(utterance, loaded, gain_db=self._gains.get(loaded.generation, loaded.gain_db))
            piece: TextPiece | None = first
            while piece is not None:
                await self._speak_piece(telling, piece, cost)
                piece = await utterance.next_piece()
            self._outlet.hold_start(False)
            self._outlet.put(telling.finish(cost))
            self._gains = {loaded.generation: telling.chain.gain_db}

    async def _speak_piece(self, telling: _Telling, piece: TextPiece, cost: SpeechCost) -> None:
        chunks = telling.loaded.model.synthesize(
            Piece(
                text=piece.text,
                voice=self._delivery.voice,
                language=self._delivery.language,
                speed=self._delivery.speed,
            )
        )

        def step() -> list[Frame] | None:
            began = time.perf_counter()
            samples = next(chunks, None)
            frames = None if samples is None else telling.chain.push(samples)
            cost.compute_s += time.perf_counter() - began
            cost.audio_s += 0.0 if samples is None else len(samples) / telling.loaded.model.sample_rate_hz
            return frames

        try:
            while True:
                await self._outlet.room()
                slack_s = 0.0 if telling.chunks else FIRST_CHUNK_SLACK_S
                deadline = self._outlet.deadline() + slack_s
                frames = await self._pool.run(step, deadline=deadline, kind=_kind(telling.chunks))
                if frames is None:
                    return
                ready = telling.frames(frames, piece)
                self._guard(telling, len(ready) * FRAME_SECONDS)
                self._outlet.put(ready)
        finally:
            _close(chunks)

    def _guard(self, telling: _Telling, new_s: float) -> None:
        """Hold the utterance's start back while its next chunk is farther away than what is ready lasts."""
        ahead_s = self._outlet.ahead_s + new_s
        deadline = self._outlet.deadline() + new_s
        self._outlet.hold_start(self._pool.expected_s(_kind(telling.chunks), deadline=deadline) > ahead_s)


class _Telling:
    """An utterance on its way: the model that speaks it, its audio chain, and how far it has come."""

    def __init__(self, utterance: Utterance, loaded: LoadedModel, *, gain_db: float) -> None:
        self.loaded = loaded
        self.chunks = 0
        self.chain = AudioChain(model_rate_hz=loaded.model.sample_rate_hz, gain_db=gain_db)
        self._utterance = utterance
        self._media_time_samples = 0
        self._text_start = 0
        self._text_end = 0

    def frames(self, frames: list[Frame], piece: TextPiece) -> list[ReadyFrame]:
        """Frames that speak a piece."""
        self.chunks += 1
        self._text_start, self._text_end = piece.start, piece.end
        return [self._frame(frame) for frame in frames]

    def finish(self, cost: SpeechCost) -> list[ReadyFrame]:
        """The last frames; the very last one says that the utterance has ended, and what it has cost."""
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
    """The first chunks of an utterance are smaller than the later ones, and the first has the text encoder's work."""
    return ("first", "second", "later")[min(chunk, 2)]


def _silent_end(utterance: Utterance, end: int) -> ReadyFrame:
    """A frame that holds no speech and only says that the utterance has ended."""
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
    """End a model's generator; it is not running, since the pool has delivered its last step."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
