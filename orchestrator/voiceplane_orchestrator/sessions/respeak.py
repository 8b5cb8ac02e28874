"""What of a text is still to be said."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f\u0964]+[\"'\u201d\u2019\u00bb)]*\s+")


def unheard_from_sentence(text: str, heard: str) -> str:
    """The text from the last sentence whose end was not heard.

    Args:
        text: All of the utterance.
        heard: What the listener heard of it, a prefix.
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if end.end() > len(heard) + 1:
            break
        start = end.end()
    return text[start:]
