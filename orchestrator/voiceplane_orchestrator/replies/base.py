"""What answers a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One thing that was said.

    Attributes:
        role: Who said it.
        text: What; of the assistant, what of it was heard.
    """

    role: Literal["user", "assistant"]
    text: str


class Replier(Protocol):
    """Answers, piece by piece."""

    def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        """The answer to the last message, as it is made; closing the iterator ends the work.

        Args:
            history: The conversation; the last message is the user's.
            language: BCP 47, or empty.

        Raises:
            VoiceplaneError: It can't be made.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
