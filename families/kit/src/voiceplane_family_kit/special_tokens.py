"""Words by which a tokenizer means something else than text."""

from __future__ import annotations

from typing import Any


def without_special_tokens(tokenizer: Any, text: str) -> str:
    """Text without the words that mean something else to the model, and without characters that it never saw."""
    for token in tokenizer.all_special_tokens:
        text = text.replace(token, " ")
    return text.replace("\0", " ")
