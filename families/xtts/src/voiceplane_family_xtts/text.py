"""Text to the tokens of XTTS, by the library's tokenizer: in parts that the model can speak, without losing a word."""

from __future__ import annotations

import functools
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from num2words import num2words
from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Places to part a text that is too long, the best first: after a sentence, after a clause, between two words.
BREAKS = (re.compile(r"[.!?…।؟]\s+|[。！？]"), re.compile(r"[,;:،؛–—]\s+|[，、；：]"), re.compile(r"\s+"))
# What num2words raises for numbers and forms that it does not know, in one language or another.
UNREADABLE = (NotImplementedError, OverflowError, ValueError, KeyError, IndexError, RecursionError)
# num2words knows no Hindi, and the library asks it for that.
DIGITS = {"hi": ("शून्य", "एक", "दो", "तीन", "चार", "पाँच", "छह", "सात", "आठ", "नौ")}
UNKNOWN, SPACE = "[UNK]", "[SPACE]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Text that is spoken in one go.

    Attributes:
        tokens: What the model reads.
        characters: How many there are of it as it is read out: numbers are words, and other scripts Latin letters.
    """

    tokens: list[int]
    characters: int


class TextReader:
    """The tokenizer of a model, for several threads."""

    def __init__(self, tokenizer: Any, *, languages: Collection[str], most_tokens: int) -> None:
        """Prepare.

        Args:
            tokenizer: The library's VoiceBpeTokenizer.
            languages: The model's, as its configuration names them.
            most_tokens: Of one part.
        """
        self._tokenizer = tokenizer
        self._most_tokens = most_tokens
        self.languages = tuple(
            language for language in dict.fromkeys(map(primary, languages)) if language in tokenizer.char_limits
        )
        self._silent = {tokenizer.tokenizer.token_to_id(mark) for mark in (UNKNOWN, SPACE)}
        self._lock = threading.Lock()  # MeCab, which reads Japanese, is no place for two at once

    def parts(self, text: str, *, language: str) -> Iterator[Part]:
        """The parts of a text; none if nothing in it can be spoken.

        Args:
            text: Of any length.
            language: BCP 47.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: the model does not speak the language.
        """
        code = primary(language)
        if code not in self.languages:
            raise invalid("language", f"this model does not speak {language!r}: it speaks {', '.join(self.languages)}")
        yield from self._parts(_plain(text), code)

    def _parts(self, text: str, code: str) -> Iterator[Part]:
        if not any(character.isalnum() for character in text):
            return
        # Of more characters the library warns that the end may be lost. More tokens than that have no place at all.
        part = self._read(text, code) if len(text) <= self._tokenizer.char_limits[code] else None
        if part is None or len(part.tokens) > self._most_tokens:
            for half in _halves(text):
                yield from self._parts(half, code)
        elif not self._silent.issuperset(part.tokens[1:]):  # the first names the language
            yield part

    def _read(self, text: str, code: str) -> Part:
        with self._lock:
            try:
                words = self._tokenizer.preprocess_text(text, code)
            except UNREADABLE:
                words = self._tokenizer.preprocess_text(_spelt(text, code), code)
        name = "zh-cn" if code == "zh" else code
        tokens = self._tokenizer.tokenizer.encode(f"[{name}]{words}".replace(" ", SPACE)).ids
        return Part(tokens=tokens, characters=len(words))


def primary(language: str) -> str:
    """The primary subtag of a BCP 47 tag, in lower case."""
    return language.replace("_", "-").partition("-")[0].lower()


def _plain(text: str) -> str:
    """Text without what means something else to the model: its own marks, such as [STOP], are in brackets."""
    return " ".join(re.sub(r"[\[\]\0]", " ", text).split())


def _halves(text: str) -> tuple[str, str]:
    """A text in two, near its middle, at the best place there; without white space around them."""
    middle, reach = len(text) / 2, len(text) / 4
    for pattern in BREAKS:
        places = [found.end() for found in pattern.finditer(text)]
        near = [place for place in places if abs(place - middle) <= reach]
        if near:
            place = min(near, key=lambda each: abs(each - middle))
            return text[:place].strip(), text[place:].strip()
    return text[: len(text) // 2], text[len(text) // 2 :]


def _spelt(text: str, code: str) -> str:
    """Text with its numbers as digits that are words."""
    words = _digit_words(code)
    return re.sub(r"[0-9]", lambda digit: f" {words[int(digit[0])]} ", text)


@functools.cache
def _digit_words(code: str) -> tuple[str, ...]:
    return DIGITS.get(code) or tuple(num2words(digit, lang=code) for digit in range(10))
