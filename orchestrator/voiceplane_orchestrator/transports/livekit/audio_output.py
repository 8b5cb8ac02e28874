"""The agent's audio in a room: a session's output that plays into an audio track, and reports the playout.

Frames wait here and not in LiveKit's queue, which is kept short. So a PAUSE is silent within one tick of it, and RESUME
continues where the PAUSE was.
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

# The size of LiveKit's queue; it plays in ticks of 10 ms.
TICK_SAMPLES = SAMPLE_RATE_HZ // 100
QUEUE_MS = 100
LEAD_S = 0.04
# How many frames may wait here before the session has to wait.
BUFFER_FRAMES = 100
BYTES_PER_SAMPLE = 2


class AudioSource(Protocol):
    """The part of rtc.AudioSource that is used."""

    @property
    def queued_duration(self) -> float:
        """Seconds of queued audio that were not played yet."""
        ...

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Queue a frame."""
        ...

    def clear_queue(self) -> None:
        """Drop queued audio that was not played yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedAudio:
    """Audio that is queued as one frame.

    Attributes:
        pcm: s16le, mono, 48 kHz.
        end_samples: Where it ends in its utterance, in samples.
    """

    pcm: bytes
    utterance: int
    epoch: int
    end_samples: int

    @property
    def samples(self) -> int:
        """Its length in samples."""
        return len(self.pcm) // BYTES_PER_SAMPLE


class RoomAudioOutput:
    """An OutputTransport over an audio track. run() plays."""

    def __init__(
        self,
        *,
        source: AudioSource,
        send_event: Callable[[SessionEvent], Awaitable[None]],
        played: Callable[[int, int], None],
    ) -> None:
        """Prepare to play.

        Args:
            source: The track's source.
            send_event: Sends an event to the room.
            played: Called with an utterance's number and how many of its samples were played.
        """
        self._source = source
        self._send_event = send_event
        self._played = played
        self._pending: deque[QueuedAudio] = deque()
        self._queued: deque[QueuedAudio] = deque()
        self._paused = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    async def send_frame(self, frame: SpeechFrame) -> None:
        """See OutputTransport."""
        while len(self._pending) >= BUFFER_FRAMES:
            self._has_room.clear()
            await self._has_room.wait()
        self._pending.append(
            QueuedAudio(
                pcm=frame.pcm,
                utterance=int(frame.utterance_id),
                epoch=frame.epoch,
                end_samples=frame.media_time_samples + frame.valid_samples,
            )
        )
        self._changed.set()

    async def send_event(self, event: SessionEvent) -> None:
        """See OutputTransport. The audio pauses or stops before the event is sent."""
        match event:
            case Pause():
                self._pause()
            case Resume():
                self._paused = False
            case Stop():
                self._stop(event.epoch)
        self._changed.set()
        await self._send_event(event)

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            self._changed.clear()
            self._report_played()
            if not self._paused and self._pending and self._source.queued_duration < LEAD_S:
                await self._play(self._pending.popleft())
                continue
            await self._until_changed(self._idle_s())

    def _idle_s(self) -> float | None:
        """Seconds without work, unless something changes."""
        queued_s = self._source.queued_duration
        if self._pending and not self._paused:
            return max(0.001, queued_s - LEAD_S)
        return max(0.005, min(queued_s, LEAD_S)) if self._queued else None

    async def _until_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _play(self, audio: QueuedAudio) -> None:
        self._queued.append(audio)
        self._has_room.set()
        await self._source.capture_frame(rtc.AudioFrame(audio.pcm, SAMPLE_RATE_HZ, 1, audio.samples))

    def _report_played(self) -> None:
        """Report what was played since the last report."""
        unplayed = round(self._source.queued_duration * SAMPLE_RATE_HZ)
        queued = sum(audio.samples for audio in self._queued)
        last: QueuedAudio | None = None
        while self._queued and queued - self._queued[0].samples >= unplayed:
            last = self._queued.popleft()
            queued -= last.samples
        if last is not None:
            self._played(last.utterance, last.end_samples)

    def _pause(self) -> None:
        """Pause, and take back what was not played yet, in whole ticks of LiveKit."""
        if self._paused:
            return
        self._paused = True
        self._report_played()
        unplayed = round(self._source.queued_duration * SAMPLE_RATE_HZ / TICK_SAMPLES) * TICK_SAMPLES
        self._source.clear_queue()
        while self._queued and unplayed > 0:
            audio = self._queued.pop()
            kept = min(unplayed, audio.samples)
            self._pending.appendleft(replace(audio, pcm=audio.pcm[-kept * BYTES_PER_SAMPLE :]))
            unplayed -= kept
        self._queued.clear()

    def _stop(self, epoch: int) -> None:
        """Drop all audio that is older than an epoch."""
        self._paused = False
        if any(audio.epoch < epoch for audio in self._queued):
            self._report_played()
            self._source.clear_queue()
            self._queued.clear()
        self._pending = deque(audio for audio in self._pending if audio.epoch >= epoch)
        self._has_room.set()
