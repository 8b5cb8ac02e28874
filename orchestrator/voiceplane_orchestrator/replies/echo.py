"""Says back what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from voiceplane_orchestrator.replies.base import ChatMessage


class EchoReplier:
    """The reply is the user's last message, word by word, as a language model's tokens would come."""

    async def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        """See Replier."""
        del language
        for number, word in enumerate(history[-1].text.split()):
            yield word if number == 0 else f" {word}"

    async def aclose(self) -> None:
        """Nothing to let go of."""
