"""Segments a stream of text for the model: first a short clause, then whole sentences.

The text is read one character at a time, and each decision depends on the text up to that character only. So the
segments do not depend on the chunks in which the text arrives, and a segment is released as early as possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voiceplane_worker.text.boundary_rules import (
    CJK_CLAUSE_MARKS,
    CJK_STOPS,
    CLOSERS,
    STOPS,
    breaks_before,
    ends_clause,
    ends_line,
    ends_sentence,
    is_final,
    primary_language,
    runs_on,
    speakable,
)
from voiceplane_worker.text.chars import MAX_PAUSE_MS, is_boundary, pause_ms_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_worker.text.chars import Char

Segmentation = Literal["clause", "sentence"]

# The next segment is computed while the first one plays: a second of speech is enough at an RTF below 0.1.
FIRST_CLAUSE_MIN_WORDS = 3
FIRST_CLAUSE_MIN_CJK_CHARS = 6
FIRST_STRONG_BREAK_WORDS = 4
FIRST_WEAK_BREAK_WORDS = 6
FIRST_MAX_WORDS = 10
# A sentence longer than this is also cut at its clauses.
LONG_SENTENCE_CHARS = 300
# Maximum length of a segment: bounds the model's work for one segment, and the memory.
MAX_SEGMENT_CHARS = 400


@dataclass(frozen=True, slots=True)
class TextSegment:
    """A segment of an utterance's text.

    Attributes:
        text: Without surrounding white space; has something that can be spoken.
        start: Offset of its first code point in the utterance's text, as the client sent it.
        end: Offset after its last code point.
        pause_ms: The silence before it, besides its own.
    """

    text: str
    start: int
    end: int
    pause_ms: int = 0


class TextSegmenter:
    """Segments one utterance."""

    def __init__(self, *, language: str, segmentation: Segmentation, inline_phonemes: bool = False) -> None:
        """Begin an utterance.

        Args:
            language: BCP 47; general rules apply to an unknown one.
            segmentation: "clause" for a short first segment, "sentence" for whole sentences only.
            inline_phonemes: `[[ ]]` stays whole.
        """
        self._language = primary_language(language)
        self._eager = segmentation == "clause"
        self._inline_phonemes = inline_phonemes
        self._text = ""  # not released yet
        self._places: list[tuple[int, int]] = []  # where each character of it is in the source
        self._seen = 0  # characters of it that were read
        self._words = 0  # complete words in them
        self._pause_ms = 0

    @property
    def pending_chars(self) -> int:
        """Characters that are in no segment yet."""
        return len(self._text)

    def ends_sentence(self, held: str = "") -> bool:
        """Whether a sentence has ended, if nothing follows.

        Args:
            held: What would come next.
        """
        text = f"{self._text}{held}".rstrip()
        return speakable(text) and ends_sentence(self._language, text, "A")

    def push(self, chars: Iterable[Char]) -> list[TextSegment]:
        """Add characters; returns the segments that they complete."""
        segments: list[TextSegment] = []
        for letter, start, end in chars:
            if is_boundary(letter):
                segments += self.flush()
                self._pause_ms = min(self._pause_ms + pause_ms_of(letter), MAX_PAUSE_MS)
                continue
            self._text += letter
            self._places.append((start, end))
            while self._seen < len(self._text):
                cut = self._cut(self._seen)
                self._seen += 1
                if cut:
                    segments += self._take(cut)
        return segments

    def flush(self) -> list[TextSegment]:
        """Release the remaining text, even within a sentence."""
        return self._take(len(self._text))

    def _take(self, cut: int) -> list[TextSegment]:
        taken, self._text = self._text[:cut], self._text[cut:]
        places, self._places = self._places[:cut], self._places[cut:]
        self._seen = self._words = 0
        if not speakable(taken):
            return []
        self._eager = False
        pause_ms, self._pause_ms = self._pause_ms, 0
        inset = len(taken) - len(taken.lstrip())
        text = taken.strip()
        return [TextSegment(text, places[inset][0], places[inset + len(text) - 1][1], pause_ms)]

    def _cut(self, index: int) -> int:
        """Where to cut before the character at index; 0 for no cut."""
        letter = self._text[index]
        if index == 0:
            return 0
        before = self._text[index - 1]
        if self._inline_phonemes and self._text.count("[[", 0, index) > self._text.count("]]", 0, index):
            cut = 0
        elif (run_on := runs_on(self._language, self._text, index)) > 0:
            cut = run_on
        elif letter.isspace():
            cut = 0 if before.isspace() else self._cut_after(index, letter) or self._cut_before_word(index)
        elif before.isspace():
            cut = self._cut_at_space(index, letter)
        else:
            cut = self._cut_without_space(index, letter)
        return cut or (self._cut_by_length(index) if index >= MAX_SEGMENT_CHARS else 0)

    def _cut_after(self, index: int, space: str) -> int:
        """White space begins at index: cut if nothing that follows it could continue the sentence."""
        before = self._text[:index]
        return index if is_final(self._language, before, line_ends=space == "\n") else 0

    def _cut_at_space(self, index: int, following: str) -> int:
        """White space ends at index: cut if a sentence or a clause ends before it."""
        end = len(self._text[:index].rstrip())
        before, gap = self._text[:end], self._text[end:index]
        if gap.count("\n") > 1 or ends_sentence(self._language, before, following):
            return index
        if "\n" in gap and ends_line(before, following):
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
        """A word ends at index: in a long first segment, cut before it if a speaker may pause there."""
        words = self._words
        self._words += 1
        if not self._eager or words < FIRST_STRONG_BREAK_WORDS:
            return 0
        start = max(self._text.rfind(space, 0, index) for space in " \t\n") + 1
        word = self._text[start:index]
        if not word.isalpha():
            return 0  # its punctuation mark will end the segment
        if self._text[:start].rstrip()[-1:].isdigit():
            return 0  # "10 km" is one expression
        natural = breaks_before(self._language, word, strong_only=words < FIRST_WEAK_BREAK_WORDS)
        return start if start and (natural or words >= FIRST_MAX_WORDS) else 0

    def _cut_by_length(self, index: int) -> int:
        """The segment is too long: cut at the last space of its second half, or at index."""
        space = max(self._text.rfind(space, MAX_SEGMENT_CHARS // 2, index) for space in " \t\n")
        return space + 1 if space > 0 else index
