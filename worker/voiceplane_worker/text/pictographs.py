"""Emoji and other pictures: silent, or spoken by their names."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING

import emoji

from voiceplane_worker.text.characters import EMOJI_PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_worker.text.chars import Char
    from voiceplane_worker.text.policy import Emoji

# Signs of the category "other symbols" that are read as words.
READ_SIGNS = frozenset("°№℃℉℗")
SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")
# A family of four with skin tones has 11 code points, a flag of a region has 14.
MAX_SEQUENCE_CHARS = 16


@functools.lru_cache(maxsize=4096)
def is_pictograph(letter: str) -> bool:
    """Whether a character is a picture, or a part of one that has no sound."""
    if letter in READ_SIGNS:
        return False
    tag = 0xE0020 <= ord(letter) <= 0xE007F
    return tag or letter in SKIN_TONES or letter in EMOJI_PARTS or unicodedata.category(letter) == "So"


class PictographStage:
    """Drops pictures or names them."""

    def __init__(self, *, emoji: Emoji, language: str) -> None:
        self._named = emoji == "name"
        self._language = language
        self._kept: list[Char] = []
        self._in_picture = False

    @property
    def held(self) -> str:
        """A picture that may go on."""
        return "".join(char[0] for char in self._kept)

    def push(self, chars: Iterable[Char]) -> list[Char]:
        """Take characters."""
        out: list[Char] = []
        for char in chars:
            # In some scripts a joiner is a part of a word.
            self._in_picture = is_pictograph(char[0]) and (char[0] != "\u200d" or self._in_picture)
            if not self._in_picture:
                if self._kept:
                    out += self.flush()
                out.append(char)
            elif self._named:
                self._kept.append(char)
                if len(self._kept) >= MAX_SEQUENCE_CHARS:
                    out += self.flush()
        return out

    def flush(self) -> list[Char]:
        """Name what was kept."""
        kept, self._kept = self._kept, []
        if not kept:
            return []
        names = names_of("".join(char[0] for char in kept), self._language)
        start, end = kept[0][1], kept[-1][2]
        return [(letter, start, end) for letter in "".join(f" {name}, " for name in names)]


def names_of(pictures: str, language: str) -> list[str]:
    """The names of emoji; nothing for what has none in the language."""
    known = language if language in emoji.LANGUAGES else ""
    if not known:
        return []
    found = [match["emoji"] for match in emoji.emoji_list(pictures)]
    names = [emoji.demojize(each, language=known, delimiters=("", "")) for each in found]
    return [name.replace("_", " ").replace("-", " ") for name in names if name.isascii() or any(map(str.isalpha, name))]
