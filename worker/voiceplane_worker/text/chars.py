"""Characters with their place in the source, and the marks that stages leave for the segmenter.

A stage takes characters and yields characters. Each has its offsets in the text that the client sent, so that a segment
knows what it speaks, however much of the markup around it was dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Char = tuple[str, int, int]
"""One code point, and the range of code points of the source that it stands for; the end is exclusive."""

END: Char = ("", 0, 0)
"""Given to a stage where no text follows for now: it decides what it has waited with."""

BOUNDARY = "\x1e"
"""A segment ends here: after a heading, an item of a list, a row. Control codes of a client never get this far."""

# A boundary with a pause, as one code point of a plane for private use, which no text of a client gets through.
PAUSE_BASE = 0xF0000
PAUSE_STEP_MS = 50
MAX_PAUSE_MS = 10_000


def source_chars(text: str, *, start: int = 0) -> list[Char]:
    """The characters of a text as it was sent.

    Args:
        text: Of any length.
        start: Where it begins in the source.
    """
    return [(letter, index, index + 1) for index, letter in enumerate(text, start)]


def text_of(chars: Iterable[Char]) -> str:
    """The characters as a string."""
    return "".join(char[0] for char in chars)


def pause_mark(pause_ms: float) -> str:
    """The character of a pause; longer ones than MAX_PAUSE_MS are cut."""
    steps = round(min(max(pause_ms, 0), MAX_PAUSE_MS) / PAUSE_STEP_MS)
    return chr(PAUSE_BASE + steps)


def pause_ms_of(letter: str) -> int:
    """The pause that a character stands for; 0 for any other character."""
    steps = ord(letter) - PAUSE_BASE
    return steps * PAUSE_STEP_MS if 0 < steps <= MAX_PAUSE_MS // PAUSE_STEP_MS else 0


def is_boundary(letter: str) -> bool:
    """Whether a segment ends at this character, whatever surrounds it."""
    return letter == BOUNDARY or ord(letter) >= PAUSE_BASE
