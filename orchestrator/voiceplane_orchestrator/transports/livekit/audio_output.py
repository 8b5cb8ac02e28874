"""The agent's voice in a room: a session's listener that plays into an audio track, and knows what has been played.

The frames of a session wait here and not in LiveKit's queue, which is kept short: so a PAUSE is silence within one tick
of it, and RESUME goes on where that was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from livekit import rtc
from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_orchestrator.sessions.events import Pause, Resume, Stop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

# What LiveKit's queue may hold; it plays in ticks of 10 ms.
TICK_SAMPLES = SAMPLE_RATE_HZ // 100
QUEUE_MS = 100
AHEAD_S = 0.04
# What may wait here before the session is held up.
BUFFER_FRAMES = 100
BYTES_PER_SAMPLE = 2


class AudioSource(Protocol):
    """The part of rtc.AudioSource that is needed."""

    @property
    def queued_duration(self) -> float:
        """Seconds of audio that have not been played."""
        ...

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Queue a frame."""
        ...

    def clear_queue(self) -> None:
        """Forget what has not been played."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedAudio:
    """Speech that is played as one.

    Attributes:
        pcm: s16le, mono, 48 kHz.
        end_samples: Where it ends in its utterance.
    """

    pcm: bytes
    utterance: int
    epoch: int
    end_samples: int

    @property
    def samples(self) -> int:
        """How long it is."""
        return len(self.pcm) // BYTES_PER_SAMPLE


class RoomAudioOutput:
    """A Listener over an audio track. run() plays."""

    def __init__(
        self,
        *,
        source: AudioSource,
        tell: Callable[[SessionEvent], Awaitable[None]],
        played: Callable[[int, int], None],
    ) -> None:
        """Prepare to play.

        Args:
            source: Of the track.
            tell: Sends an event to the room.
            played: Called with an utterance and the samples of it that have been played.
        """
        self._source = source
        self._tell = tell
        self._played = played
        self._waiting: deque[QueuedAudio] = deque()
        self._queued: deque[QueuedAudio] = deque()
        self._paused = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def send_frame(self, frame: SpeechFrame) -> None:
        """See Listener."""
        while len(self._waiting) >= BUFFER_FRAMES:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(
            QueuedAudio(
                pcm=frame.pcm,
                utterance=int(frame.utterance_id),
                epoch=frame.epoch,
                end_samples=frame.media_time_samples + frame.valid_samples,
            )
        )
        self._changed.set()

    async def send_event(self, event: SessionEvent) -> None:
        """See Listener. Silence comes before the news of it."""
        match event:
            case Pause():
                self._hold()
            case Resume():
                self._paused = False
            case Stop():
                self._drop(event.epoch)
        self._changed.set()
        await self._tell(event)

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            self._changed.clear()
            self._settle()
            if not self._paused and self._waiting and self._source.queued_duration < AHEAD_S:
                await self._play(self._waiting.popleft())
                continue
            await self._until_changed(self._idle_s())

    def _idle_s(self) -> float | None:
        """How long there is nothing to do, if nothing comes."""
        queued_s = self._source.queued_duration
        if self._waiting and not self._paused:
            return max(0.001, queued_s - AHEAD_S)
        return max(0.005, min(queued_s, AHEAD_S)) if self._queued else None

    async def _until_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _play(self, piece: QueuedAudio) -> None:
        self._queued.append(piece)
        self._room.set()
        await self._source.capture_frame(rtc.AudioFrame(piece.pcm, SAMPLE_RATE_HZ, 1, piece.samples))

    def _settle(self) -> None:
        """Report what has been played since."""
        unplayed = round(self._source.queued_duration * SAMPLE_RATE_HZ)
        queued = sum(piece.samples for piece in self._queued)
        last: QueuedAudio | None = None
        while self._queued and queued - self._queued[0].samples >= unplayed:
            last = self._queued.popleft()
            queued -= last.samples
        if last is not None:
            self._played(last.utterance, last.end_samples)

    def _hold(self) -> None:
        """Fall silent, and take back what has not been played, in LiveKit's ticks."""
        if self._paused:
            return
        self._paused = True
        self._settle()
        unplayed = round(self._source.queued_duration * SAMPLE_RATE_HZ / TICK_SAMPLES) * TICK_SAMPLES
        self._source.clear_queue()
        while self._queued and unplayed > 0:
            piece = self._queued.pop()
            kept = min(unplayed, piece.samples)
            self._waiting.appendleft(replace(piece, pcm=piece.pcm[-kept * BYTES_PER_SAMPLE :]))
            unplayed -= kept
        self._queued.clear()

    def _drop(self, epoch: int) -> None:
        """Forget all speech that is older than an epoch."""
        self._paused = False
        if any(piece.epoch < epoch for piece in self._queued):
            self._settle()
            self._source.clear_queue()
            self._queued.clear()
        self._waiting = deque(piece for piece in self._waiting if piece.epoch >= epoch)
        self._room.set()
