"""Text that is to be spoken: its limit, and a stream for text that is still being written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def check_text_length(text: str, *, max_chars: int, field: str = "text") -> None:
    """Check the length of a text.

    Raises:
        VoiceplaneError: TEXT_TOO_LONG.
    """
    if len(text) > max_chars:
        message = f"{field} has {len(text)} characters, and limits.max_text_chars is {max_chars}: send less"
        raise invalid(field, message, reason="TEXT_TOO_LONG")


async def single_chunk(text: str) -> AsyncIterator[str]:
    """A text as one chunk."""
    yield text


class TextStream:
    """The text of one utterance while it is written, of at most max_chars characters."""

    def __init__(self, *, max_chars: int) -> None:
        self._max_chars = max_chars
        self._total_chars = 0
        self._waiting = ""
        self._ended = False
        self._outgoing = asyncio.Event()

    def put(self, text: str) -> None:
        """Add a chunk.

        Raises:
            VoiceplaneError: TEXT_TOO_LONG: the chunk would make the utterance too long; it is dropped.
        """
        if self._total_chars + len(text) > self._max_chars:
            message = f"the utterance has more characters than limits.max_text_chars, {self._max_chars}: end it first"
            raise invalid("text", message, reason="TEXT_TOO_LONG")
        self._total_chars += len(text)
        self._waiting += text
        self._outgoing.set()

    def end(self) -> None:
        """End the text."""
        self._ended = True
        self._outgoing.set()

    async def chunks(self) -> AsyncIterator[str]:
        """The text as it arrives, up to its end."""
        while self._waiting or not self._ended:
            if self._waiting:
                text, self._waiting = self._waiting, ""
                yield text
            else:
                self._outgoing.clear()
                await self._outgoing.wait()
