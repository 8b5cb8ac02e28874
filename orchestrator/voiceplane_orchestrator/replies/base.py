"""The interface of replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation.

    Attributes:
        role: The speaker.
        text: What was said; of the assistant, only the part that the user heard.
    """

    role: Literal["user", "assistant"]
    text: str


class Replier(Protocol):
    """Generates replies."""

    def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        """The reply to the last message, as it is generated; closing the iterator stops it.

        Args:
            history: The conversation; the last message is the user's.
            language: BCP 47, or empty.

        Raises:
            VoiceplaneError: The reply can't be generated.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
