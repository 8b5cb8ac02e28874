"""Reads an utterance's text: from what the client sent to the segments that the model speaks.

Characters go through the stages one after the other: Unicode, markup, pictures, segments. Each decides by what it has
read, one character at a time, so chunks of any size give the same segments. A segment is then written as it is said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from voiceplane_common.logs import get_logger

from voiceplane_worker.text.boundary_rules import primary_language, speakable
from voiceplane_worker.text.characters import CharacterStage
from voiceplane_worker.text.chars import source_chars
from voiceplane_worker.text.markup import MarkupStage
from voiceplane_worker.text.normalisation import normaliser
from voiceplane_worker.text.pictographs import PictographStage
from voiceplane_worker.text.segmenter import TextSegmenter
from voiceplane_worker.text.tidy import outside_phonemes, tidied, with_pauses, without_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.text.chars import Char
    from voiceplane_worker.text.policy import TextPolicy
    from voiceplane_worker.text.segmenter import Segmentation, TextSegment

_log = get_logger("text")

# The words of a long row of digits are many more characters than the digits: a model takes them in several parts.
MAX_SPOKEN_CHARS = 600

# What is undecided begins with one of these where more text decides its meaning, however long it takes.
OPEN_MARKS = frozenset(["<", "&", "[", "\\", "【"])


class TextReader:
    """Reads one utterance."""

    def __init__(self, *, language: str, segmentation: Segmentation, policy: TextPolicy) -> None:
        """Begin an utterance.

        Args:
            language: BCP 47.
            segmentation: See TextSegmenter.
            policy: How it is read.
        """
        primary = primary_language(language)
        self._policy = policy
        self._normaliser = normaliser(language) if policy.normalise == "full" else None
        self._stages: list[CharacterStage | MarkupStage | PictographStage] = [CharacterStage()]
        if policy.markup != "speak":
            self._stages.append(
                MarkupStage(ssml=policy.markup == "ssml", language=primary, inline_phonemes=policy.inline_phonemes)
            )
        self._stages.append(PictographStage(emoji=policy.emoji, language=primary))
        self._segmenter = TextSegmenter(
            language=language, segmentation=segmentation, inline_phonemes=policy.inline_phonemes
        )
        self._read = 0

    @property
    def pending_chars(self) -> int:
        """Characters that were read and are in no segment yet."""
        return self._segmenter.pending_chars + sum(len(stage.held) for stage in self._stages)

    @property
    def finished_sentence(self) -> bool:
        """Whether a whole sentence waits only for what follows it."""
        held = "".join(stage.held for stage in self._stages)
        if held[:1] in OPEN_MARKS or (held[:1] == "]" and len(held) > 1):
            return False
        return self._segmenter.ends_sentence(held.rstrip("*_~"))

    def push(self, text: str) -> list[TextSegment]:
        """Add text of any length; returns the segments that it completes."""
        chars = source_chars(text, start=self._read)
        self._read += len(text)
        for stage in self._stages:
            chars = stage.push(chars)
        return self._spoken(self._segmenter.push(chars))

    def flush(self) -> list[TextSegment]:
        """Release all text, even within a sentence or a mark."""
        return self._spoken([*self._segmenter.push(self._decided()), *self._segmenter.flush()])

    def _decided(self) -> list[Char]:
        """What the stages still kept, through those that follow them."""
        chars: list[Char] = []
        for stage in self._stages:
            chars = [*stage.push(chars), *stage.flush()]
        return chars

    def _spoken(self, segments: list[TextSegment]) -> list[TextSegment]:
        spoken: list[TextSegment] = []
        for segment in segments:
            pause_ms = segment.pause_ms
            for part in _parts(self._words(segment.text)):
                if speakable(part):
                    spoken.append(replace(segment, text=part, pause_ms=pause_ms))
                    pause_ms = 0
        return spoken

    def _words(self, text: str) -> str:
        if not self._policy.inline_phonemes:
            return self._words_of(text.replace("[[", "[ ["))
        parts = [part if phonemes else self._words_of(part) for part, phonemes in outside_phonemes(text)]
        return " ".join(filter(None, parts))

    def _words_of(self, text: str) -> str:
        text = with_pauses(without_pictures(text, named=self._policy.emoji == "name"))
        return tidied(self._normalised(text))

    def _normalised(self, text: str) -> str:
        """The words for numbers and the like; the text itself if a library has no words for something in it."""
        if self._normaliser is None:
            return text
        try:
            return self._normaliser.spoken(text)
        except Exception as error:  # num2words and Babel raise many kinds; a listener hears digits rather than nothing
            _log.warning("normalisation_failed", error=type(error).__name__)
            return text


def _parts(words: str) -> Iterator[str]:
    """Cut what is said into parts that are not too long, at their last spaces."""
    while len(words) > MAX_SPOKEN_CHARS:
        end = words.rfind(" ", MAX_SPOKEN_CHARS // 2, MAX_SPOKEN_CHARS)
        end = end if end > 0 else MAX_SPOKEN_CHARS
        yield words[:end].strip()
        words = words[end:].strip()
    yield words
