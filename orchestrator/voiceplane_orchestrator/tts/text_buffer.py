"""What an utterance is to say, and how far a worker has brought it: what a reroute goes on from."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TextBuffer:
    """The text of one utterance as it arrives. Confined to the event loop.

    Attributes:
        text: All that has arrived.
        complete: No more will arrive.
        error: Why the source of the text has failed; what had arrived is still to be spoken.
    """

    def __init__(self) -> None:
        self.text = ""
        self.complete = False
        self.error: Exception | None = None
        self._arrived = asyncio.Event()

    async def fill(self, source: AsyncIterator[str]) -> None:
        """Take a source's text until its end."""
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
                with contextlib.suppress(RuntimeError):  # it is still running: whoever runs it will close it
                    await close()

    async def read(self, start: int) -> AsyncIterator[str]:
        """The text from a place on, as it arrives, until its end."""
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
