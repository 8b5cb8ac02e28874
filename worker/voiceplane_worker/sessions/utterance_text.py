"""The text of an utterance: it arrives in chunks and leaves in segments."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_worker.text.reader import TextReader
    from voiceplane_worker.text.segmenter import TextSegment

# Text is segmented when the model needs it, this much at a time, so that a long text never blocks the event loop.
SLICE_CHARS = 256


class UtteranceText:
    """The text of one utterance. Confined to the event loop.

    Attributes:
        utterance_id: Chosen by the client, or made by the worker.
        epoch: Its generation epoch.
        first_segment_at: Monotonic seconds at which its first segment was complete.
        heard: Whether a frame of it was sent.
    """

    def __init__(self, *, utterance_id: str, epoch: int, reader: TextReader, quiet_ms: int) -> None:
        """Begin an utterance.

        Args:
            utterance_id: Chosen by the client, or made by the worker.
            epoch: Its generation epoch.
            reader: Makes segments of its text.
            quiet_ms: A finished sentence is released when no text followed it for this long.
        """
        self.utterance_id = utterance_id
        self.epoch = epoch
        self.first_segment_at: float | None = None
        self.heard = False
        self._reader = reader
        self._quiet_s = quiet_ms / 1000
        self._arrived_at = 0.0
        self._text: deque[str | None] = deque()  # None marks a flush
        self._unread_chars = 0
        self._segments: deque[TextSegment] = deque()
        self._ended = False
        self._arrived = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether all of its text has arrived."""
        return self._ended

    @property
    def pending_chars(self) -> int:
        """Code points that have arrived and have not been handed to the model."""
        waiting = sum(segment.end - segment.start for segment in self._segments)
        return self._unread_chars + self._reader.pending_chars + waiting

    def add(self, text: str, *, flush: bool, end: bool) -> None:
        """Add text; with flush or end, the last, incomplete segment is released, too."""
        self._unread_chars += len(text)
        self._arrived_at = asyncio.get_running_loop().time()
        self._text.extend(text[start : start + SLICE_CHARS] for start in range(0, len(text), SLICE_CHARS))
        if flush or end:
            self._text.append(None)
        self._ended = self._ended or end
        self._arrived.set()

    async def next_segment(self) -> TextSegment | None:
        """Wait for the next segment; None at the end of the text."""
        while not self._segments:
            if self._text:
                text = self._text.popleft()
                self._unread_chars -= len(text or "")
                self._segments.extend(self._reader.flush() if text is None else self._reader.push(text))
                await asyncio.sleep(0)
            elif self._ended:
                return None
            else:
                await self._wait_for_text()
        if self.first_segment_at is None:
            self.first_segment_at = asyncio.get_running_loop().time()
        return self._segments.popleft()

    async def _wait_for_text(self) -> None:
        """Wait for more text; a finished sentence does not wait for it longer than the quiet time."""
        self._arrived.clear()
        quiet_at = self._arrived_at + self._quiet_s if self._reader.finished_sentence else None
        try:
            async with asyncio.timeout_at(quiet_at):
                await self._arrived.wait()
        except TimeoutError:
            self._segments.extend(self._reader.flush())
