"""A stream of text into pieces for a model: first a short clause, then whole sentences.

The text is read one character at a time, and each decision depends on the text up to that character only. So the pieces
are the same however the text was cut into chunks, and a piece leaves as soon as the character that decides it is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voiceplane_worker.text.boundary_rules import (
    CJK_CLAUSE_MARKS,
    CJK_STOPS,
    CLOSERS,
    STOPS,
    breaks_before,
    ends_clause,
    ends_sentence,
    primary_language,
    speakable,
)

Segmentation = Literal["clause", "sentence"]

# The first piece buys the time in which the next is computed: a second of speech is plenty at an RTF below 0.1.
FIRST_CLAUSE_MIN_WORDS = 3
FIRST_CLAUSE_MIN_CJK_CHARS = 6
FIRST_STRONG_BREAK_WORDS = 4
FIRST_WEAK_BREAK_WORDS = 6
FIRST_MAX_WORDS = 10
# A sentence longer than this is cut at its clauses, too.
LONG_SENTENCE_CHARS = 300
# No piece is longer than this: it bounds the model's work for one piece, and our memory.
MAX_SEGMENT_CHARS = 400


@dataclass(frozen=True, slots=True)
class TextSegment:
    """A piece of an utterance's text.

    Attributes:
        text: Without surrounding white space; holds something that can be spoken.
        start: Its first code point in the utterance's text.
        end: After its last code point.
    """

    text: str
    start: int
    end: int


class TextSegmenter:
    """Splits one utterance."""

    def __init__(self, *, language: str, segmentation: Segmentation) -> None:
        """Begin an utterance.

        Args:
            language: BCP 47; an unknown one is split by general rules.
            segmentation: "clause" for a short first piece, "sentence" for whole sentences only.
        """
        self._language = primary_language(language)
        self._eager = segmentation == "clause"
        self._text = ""  # what has not left yet
        self._seen = 0  # characters of it that have been looked at
        self._words = 0  # words that are complete in what has been looked at
        self._start = 0  # where it begins in the utterance

    def push(self, text: str) -> list[TextSegment]:
        """Take text of any length; returns the pieces that it completes."""
        self._text += text
        pieces: list[TextSegment] = []
        while self._seen < len(self._text):
            cut = self._cut(self._seen)
            self._seen += 1
            if cut:
                pieces += self._take(cut)
        return pieces

    def flush(self) -> list[TextSegment]:
        """All that is left, whether its sentence is complete or not."""
        return self._take(len(self._text))

    def _take(self, cut: int) -> list[TextSegment]:
        taken, self._text = self._text[:cut], self._text[cut:]
        start, self._start = self._start, self._start + cut
        self._seen = self._words = 0
        if not speakable(taken):
            return []
        self._eager = False
        inset = len(taken) - len(taken.lstrip())
        text = taken.strip()
        return [TextSegment(text, start + inset, start + inset + len(text))]

    def _cut(self, index: int) -> int:
        """Where to cut, now that the character at index is known; 0 for nowhere."""
        letter = self._text[index]
        if index == 0:
            return 0
        before = self._text[index - 1]
        if letter.isspace():
            cut = 0 if before.isspace() else self._cut_before_word(index)
        elif before.isspace():
            cut = self._cut_at_space(index, letter)
        else:
            cut = self._cut_without_space(index, letter)
        return cut or (self._cut_by_length(index) if index >= MAX_SEGMENT_CHARS else 0)

    def _cut_at_space(self, index: int, following: str) -> int:
        """White space ends at index: does a sentence or a clause end before it?"""
        end = len(self._text[:index].rstrip())
        before, gap = self._text[:end], self._text[end:index]
        if gap.count("\n") > 1 or ends_sentence(self._language, before, following):
            return index
        may_end_clause = (self._eager and self._words >= FIRST_CLAUSE_MIN_WORDS) or end > LONG_SENTENCE_CHARS
        return index if may_end_clause and ends_clause(before, following) else 0

    def _cut_without_space(self, index: int, letter: str) -> int:
        """Chinese and Japanese have no space after a stop."""
        if letter in CLOSERS or letter in STOPS or letter in CJK_CLAUSE_MARKS:
            return 0
        before = self._text[:index].rstrip("".join(CLOSERS))
        if before[-1:] in CJK_STOPS:
            return index
        eager = self._eager and index >= FIRST_CLAUSE_MIN_CJK_CHARS
        if before[-1:] in CJK_CLAUSE_MARKS and (eager or index > LONG_SENTENCE_CHARS):
            return index
        return 0

    def _cut_before_word(self, index: int) -> int:
        """A word ends at index: in a first piece that grows long, cut before it if a speaker might pause there."""
        words = self._words
        self._words += 1
        if not self._eager or words < FIRST_STRONG_BREAK_WORDS:
            return 0
        start = max(self._text.rfind(space, 0, index) for space in " \t\n") + 1
        word = self._text[start:index]
        if not word.isalpha():
            return 0  # its own mark will end the piece
        natural = breaks_before(self._language, word, strong_only=words < FIRST_WEAK_BREAK_WORDS)
        return start if start and (natural or words >= FIRST_MAX_WORDS) else 0

    def _cut_by_length(self, index: int) -> int:
        """Nothing has ended for too long: the last space of the second half, or right here."""
        space = max(self._text.rfind(space, MAX_SEGMENT_CHARS // 2, index) for space in " \t\n")
        return space + 1 if space > 0 else index
