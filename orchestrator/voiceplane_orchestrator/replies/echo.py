"""The echo reply: it repeats what the user said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from voiceplane_orchestrator.replies.base import ChatMessage


class EchoReplier:
    """Repeats the user's last message, word by word, as a language model would send tokens."""

    async def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        """See Replier."""
        del language
        for number, word in enumerate(history[-1].text.split()):
            yield word if number == 0 else f" {word}"

    async def aclose(self) -> None:
        """There is nothing to close."""
