"""The text of an utterance: it arrives in chunks and leaves in segments."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_worker.text.segmenter import TextSegment, TextSegmenter

# Text is segmented when the model needs it, this much at a time, so that a long text never blocks the event loop.
SLICE_CHARS = 512


class UtteranceText:
    """The text of one utterance. Confined to the event loop.

    Attributes:
        utterance_id: Chosen by the client, or made by the worker.
        epoch: Its generation epoch.
        first_segment_at: Monotonic seconds at which its first segment was complete.
        heard: Whether a frame of it was sent.
    """

    def __init__(self, *, utterance_id: str, epoch: int, segmenter: TextSegmenter) -> None:
        self.utterance_id = utterance_id
        self.epoch = epoch
        self.first_segment_at: float | None = None
        self.heard = False
        self._segmenter = segmenter
        self._text: deque[str | None] = deque()  # None marks a flush
        self._received_chars = 0
        self._taken_chars = 0
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
        return self._received_chars - self._taken_chars

    def add(self, text: str, *, flush: bool, end: bool) -> None:
        """Add text; with flush or end, the last, incomplete segment is released, too."""
        self._received_chars += len(text)
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
                self._segments.extend(self._segmenter.flush() if text is None else self._segmenter.push(text))
                await asyncio.sleep(0)
            elif self._ended:
                self._taken_chars = self._received_chars
                return None
            else:
                self._arrived.clear()
                await self._arrived.wait()
        if self.first_segment_at is None:
            self.first_segment_at = asyncio.get_running_loop().time()
        segment = self._segments.popleft()
        self._taken_chars = segment.end
        return segment
