"""The text of an utterance while it arrives; after a failover another worker reads it again from an offset."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TextBuffer:
    """The text of one utterance as it arrives. Confined to the event loop.

    Attributes:
        text: The text that has arrived.
        complete: Whether no more text will arrive.
        error: The error of the text's source; the text before it is still to be spoken.
    """

    def __init__(self) -> None:
        self.text = ""
        self.complete = False
        self.error: Exception | None = None
        self._arrived = asyncio.Event()

    async def fill(self, source: AsyncIterator[str]) -> None:
        """Read a source to its end."""
        try:
            async for text in source:
                self.text += text
                self._wake()
        except Exception as error:
            self.error = error
        finally:
            self.complete = True
            self._wake()
            close = getattr(source, "aclose", None)
            if close is not None:
                with contextlib.suppress(RuntimeError):  # it is running elsewhere, and is closed there
                    await close()

    async def read(self, start: int) -> AsyncIterator[str]:
        """The text from an offset on, as it arrives, until its end."""
        position = start
        while True:
            self._arrived.clear()
            if position < len(self.text):
                text, position = self.text[position:], len(self.text)
                yield text
            elif self.complete:
                return
            else:
                await self._arrived.wait()

    def _wake(self) -> None:
        self._arrived.set()
