"""Text on its way to be spoken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def check_text_length(text: str, *, max_chars: int, field: str = "text") -> None:
    """Refuse a text that is too long.

    Raises:
        VoiceplaneError: TEXT_TOO_LONG.
    """
    if len(text) > max_chars:
        message = f"{field} has {len(text)} characters, more than the {max_chars} of limits.max_text_chars: send less"
        raise invalid(field, message, reason="TEXT_TOO_LONG")


async def single_chunk(text: str) -> AsyncIterator[str]:
    """A text in one piece."""
    yield text


class TextStream:
    """The text of one utterance, as it is written; max_chars bounds what it holds."""

    def __init__(self, *, max_chars: int) -> None:
        self._max_chars = max_chars
        self._so_far = 0
        self._waiting = ""
        self._ended = False
        self._outgoing = asyncio.Event()

    def put(self, text: str) -> None:
        """Add a piece.

        Raises:
            VoiceplaneError: TEXT_TOO_LONG: with it, the utterance is too long; the piece is not taken.
        """
        if self._so_far + len(text) > self._max_chars:
            message = f"the utterance exceeds the {self._max_chars} characters of limits.max_text_chars: end it first"
            raise invalid("text", message, reason="TEXT_TOO_LONG")
        self._so_far += len(text)
        self._waiting += text
        self._outgoing.set()

    def end(self) -> None:
        """No more text."""
        self._ended = True
        self._outgoing.set()

    async def pieces(self) -> AsyncIterator[str]:
        """What was put, up to the end."""
        while self._waiting or not self._ended:
            if self._waiting:
                text, self._waiting = self._waiting, ""
                yield text
            else:
                self._outgoing.clear()
                await self._outgoing.wait()
