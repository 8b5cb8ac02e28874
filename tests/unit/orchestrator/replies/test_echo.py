"""The echo."""

from __future__ import annotations

import pytest
from voiceplane_orchestrator.replies.base import ChatMessage
from voiceplane_orchestrator.replies.echo import EchoReplier


@pytest.mark.parametrize("text", ["Hello there, my friend.", "Hi", ""])
async def test_it_says_the_last_message_word_by_word(text: str) -> None:
    history = [ChatMessage("user", "first"), ChatMessage("assistant", "first"), ChatMessage("user", text)]
    pieces = [piece async for piece in EchoReplier().reply(history, language="en")]
    assert "".join(pieces) == text
    assert len(pieces) == len(text.split())
