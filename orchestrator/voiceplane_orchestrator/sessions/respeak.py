"""Respeaking: the part of an interrupted reply that is spoken again."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f\u0964]+[\"'\u201d\u2019\u00bb)]*\s+")


def unheard_from_sentence(text: str, heard: str) -> str:
    """The text from the start of the first sentence that was not heard to its end.

    Args:
        text: All of the utterance.
        heard: The heard prefix of it.
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if end.end() > len(heard) + 1:
            break
        start = end.end()
    return text[start:]
