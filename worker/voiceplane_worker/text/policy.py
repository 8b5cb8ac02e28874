"""How a session's text is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Markup = Literal["strip", "speak", "ssml"]
Emoji = Literal["drop", "name"]
Normalise = Literal["full", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPolicy:
    """How a session's text is read.

    Attributes:
        markup: "strip" drops Markdown, HTML, LaTeX and what a model says to itself; "speak" reads the text as it is;
            "ssml" takes it as SSML and nothing else.
        emoji: "drop" is silent, "name" speaks their names.
        normalise: "full" writes numbers, dates, units, addresses and abbreviations as words; "none" leaves them to the
            model.
        inline_phonemes: Whether `[[ ]]` holds phonemes.
    """

    markup: Markup = "strip"
    emoji: Emoji = "drop"
    normalise: Normalise = "full"
    inline_phonemes: bool = False
