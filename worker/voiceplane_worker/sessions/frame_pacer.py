"""The frame pacer: queues ready frames between the model and the wire, and decides when the next one is sent.

A frame leaves when it is ready, its time has come (PacingClock), the session is not paused and the listener has granted
credit for it; and an utterance begins to leave only when its next chunk is expected before the first has been played.
A full queue makes the model wait; that, and nothing else, is what bounds the audio computed ahead.

In an unpaced session, such as that of a file, there is no time to wait for: a frame leaves when it is ready and the
reader has granted credit. Its inference yields to every realtime session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.frames import FRAME_MS, FRAME_SECONDS

from voiceplane_worker.sessions.pacing_clock import PacingClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_worker.sessions.utterance_text import UtteranceText

# Later than any deadline of a realtime stream, which never has more than seconds of audio ahead. It is not endless, so
# that a file still progresses on a device that realtime streams keep busy.
UNPACED_SLACK_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyFrame:
    """A frame that waits to leave; see AudioFrame in the proto for the fields."""

    utterance: UtteranceText
    pcm: bytes
    valid_samples: int
    media_time_samples: int
    text_start: int
    text_end: int
    end: int = 0
    compute_us: int = 0


class FramePacer:
    """The frames of one stream. Confined to the event loop.

    Attributes:
        unpaced: Whether frames leave as soon as they are ready.
        underruns: Times that a listener without a jitter buffer ran dry within an utterance.
    """

    def __init__(
        self,
        *,
        burst_frames: int,
        buffer_ms: int,
        credit_frames: int | None,
        on_late_frame: Callable[[float], None] = lambda _: None,
        unpaced: bool = False,
    ) -> None:
        """Make an empty queue.

        Args:
            burst_frames: See PacingClock.
            buffer_ms: Capacity of the queue.
            credit_frames: Initial credit; None for no credit flow control.
            on_late_frame: Called for each frame after an utterance's first burst, with its
                lateness in seconds. A frame that waited for the listener (a pause, or no credit) is left out.
            unpaced: Send frames as soon as they are ready, with credit only.
        """
        self.underruns = 0
        self._loop = asyncio.get_running_loop()
        self._pacing = PacingClock(burst_frames=burst_frames)
        self._capacity = buffer_ms // FRAME_MS
        self._credit = credit_frames
        self._burst_frames = burst_frames
        self._burst_left = burst_frames
        self.unpaced = unpaced
        self._on_late_frame = on_late_frame
        self._frames: deque[ReadyFrame] = deque()
        self._paused_at: float | None = None
        self._closed = False
        self._error: BaseException | None = None
        self._in_utterance = False
        self._held = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def paused(self) -> bool:
        """Whether a PAUSE is in force."""
        return self._paused_at is not None

    def deadline(self) -> float:
        """When the listener runs dry unless more frames are put: the deadline of the next chunk's step."""
        now = self._loop.time()
        if self.unpaced:
            return now + UNPACED_SLACK_S
        shift = now - self._paused_at if self._paused_at is not None else 0.0
        return max(now, self._pacing.played_out_at() + shift) + self.ahead_s

    @property
    def ahead_s(self) -> float:
        """Seconds of audio in the queue."""
        return len(self._frames) * FRAME_SECONDS

    def hold_start(self, hold: bool) -> None:
        """Whether to hold an utterance that has not started: started now, it would soon run dry."""
        self._held = hold and not self.unpaced
        self._wake.set()

    async def room(self) -> None:
        """Return when the queue has room."""
        await self._room.wait()

    def put(self, frames: Iterable[ReadyFrame]) -> None:
        """Add frames. One chunk may exceed the capacity; room() then waits longer."""
        self._frames.extend(frames)
        self._balance()

    async def take(self) -> ReadyFrame | None:
        """Wait for the next frame that may be sent; None when the queue is closed and empty.

        Raises:
            BaseException: The error of fail(), after the frames that are ready.
        """
        while True:
            self._wake.clear()
            if self._frames and self._may_leave():
                wait = 0.0 if self.unpaced else self._pacing.due() - self._loop.time()
                if wait <= 0:
                    return self._leave()
                alarm = self._loop.call_later(wait, self._wake.set)
                try:
                    await self._wake.wait()
                finally:
                    alarm.cancel()
            elif self._error is not None:
                raise self._error
            elif self._closed and not self._frames:
                return None
            else:
                await self._wake.wait()

    def grant(self, frames: int) -> None:
        """Add credit: the listener accepts this many more frames."""
        if self._credit is not None and frames:
            if self._credit == 0:
                self._burst_left = max(self._burst_left, self._burst_frames)
            self._credit += frames
            self._wake.set()

    def pause(self) -> None:
        """Hold all frames back."""
        if self._paused_at is None:
            self._paused_at = self._loop.time()

    def resume(self) -> None:
        """Continue with the next frame."""
        if self._paused_at is not None:
            self._pacing.shift(self._loop.time() - self._paused_at)
            self._burst_left = max(self._burst_left, 1)
            self._paused_at = None
            self._wake.set()

    def drop(self) -> int:
        """Drop all frames and end a pause, for a STOP; returns the number of dropped frames."""
        dropped = len(self._frames)
        self._frames.clear()
        self._paused_at = None
        self._held = False
        self._in_utterance = False
        self._pacing.reset()
        self._balance()
        return dropped

    def close(self) -> None:
        """No more frames will be put."""
        self._closed = True
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """End the stream with an error, after the frames that are ready; the first error counts."""
        self._error = self._error or error
        self._wake.set()

    def _may_leave(self) -> bool:
        held = self._held and not self._in_utterance and self._room.is_set()
        return not (held or self.paused or self._credit == 0)

    def _leave(self) -> ReadyFrame:
        frame = self._frames.popleft()
        now = self._loop.time()
        if not self.unpaced:
            self._account(now)
        self._in_utterance = not frame.end
        if self._credit is not None:
            self._credit -= 1
        self._balance()
        return frame

    def _account(self, now: float) -> None:
        if self._in_utterance and now > self._pacing.played_out_at():
            self.underruns += 1
        if not self._in_utterance:
            self._burst_left = self._burst_frames
        if self._burst_left:
            self._burst_left -= 1
        else:
            self._on_late_frame(max(0.0, now - self._pacing.due()))
        self._pacing.leave(now)

    def _balance(self) -> None:
        if len(self._frames) < self._capacity:
            self._room.set()
        else:
            self._room.clear()
        self._wake.set()
