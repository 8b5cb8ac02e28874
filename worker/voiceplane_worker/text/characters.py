"""Unicode: drops what has no sound, and gives letters that only look different their plain form."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING

from voiceplane_worker.text.words import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_worker.text.chars import Char

# Kinds of compatibility decompositions whose letters only look different (UAX #15, UnicodeData.txt). Superscripts are
# left to the normalisation, which reads "m²", and fractions, too.
LOOK_ALIKES = word_set(
    "<font> <wide> <narrow> <initial> <medial> <final> <isolated> <vertical> <square> <circle> <compat> <sub> <super>"
)
KEPT = frozenset("№…ªº⁰¹²³⁴⁵⁶⁷⁸⁹‼⁇⁈⁉")
SILENT_SIGNS = frozenset("™℠®©�")
SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢ", "abcdefjkmopstuvwz", strict=True))
EMOJI_PARTS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
JOINERS = frozenset("\u200c\u200d")
# From here on, scripts whose letters change with a joiner: Hebrew, Arabic, those of India and so on.
FIRST_JOINING = "\u0590"
LAST_JOINING = "\u1fff"
# More marks on one letter are decoration.
MAX_MARKS = 6
# A control sequence (ECMA-48) that is longer than this is none.
MAX_SEQUENCE_CHARS = 256


class CharacterStage:
    """Drops control codes, ANSI sequences, invisible and unassigned characters; joins surrogates; see plain."""

    def __init__(self) -> None:
        self._last = " "
        self._marks = 0
        self._high: Char | None = None  # half of a surrogate pair
        self._sequence = ""  # the kind of the control sequence that is being dropped
        self._length = 0

    @property
    def held(self) -> str:
        """Nothing that is worth waiting for."""
        return ""

    def push(self, chars: Iterable[Char]) -> list[Char]:
        """Take characters of the source."""
        out: list[Char] = []
        for char in chars:
            if self._sequence and self._in_sequence(char[0]):
                continue
            self._take(char, out)
        return out

    def flush(self) -> list[Char]:
        """Nothing is kept."""
        return []

    def _take(self, char: Char, out: list[Char]) -> None:
        letter, start, end = char
        if " " <= letter <= "~":
            self._marks = 0
            self._last = letter
            out.append(char)
            return
        if letter in "\x1b\x9b":
            self._sequence, self._length = ("csi" if letter == "\x9b" else "escape"), 0
            return
        if "\ud800" <= letter <= "\udfff":
            self._surrogate(char, out)
            return
        if letter == "\n" and self._last == "\r":
            self._last = letter
            return
        shown = self._shown(letter)
        self._last = "\r" if letter == "\r" else (shown[-1:] or self._last)
        out.extend((each, start, end) for each in shown)

    def _shown(self, letter: str) -> str:
        if letter in JOINERS:
            joins = FIRST_JOINING <= self._last <= LAST_JOINING or (letter == "\u200d" and self._last > "\u2000")
            return letter if joins else ""
        if unicodedata.category(letter)[0] == "M":
            self._marks += 1
            return letter if self._marks <= MAX_MARKS else ""
        self._marks = 0
        return plain(letter)

    def _surrogate(self, char: Char, out: list[Char]) -> None:
        letter, start, end = char
        if letter < "\udc00":
            self._high = char
        elif self._high is not None and self._high[2] == start:
            code = 0x10000 + ((ord(self._high[0]) - 0xD800) << 10) + (ord(letter) - 0xDC00)
            joined = (chr(code), self._high[1], end)
            self._high = None
            self._take(joined, out)

    def _in_sequence(self, letter: str) -> bool:
        """Whether the character belongs to the control sequence that has begun."""
        self._length += 1
        kind, belongs = self._sequence, True
        if self._length > MAX_SEQUENCE_CHARS or letter == "\n":
            self._sequence, belongs = "", False
        elif kind == "escape":
            self._sequence = {
                "[": "csi",
                "]": "string",
                "P": "string",
                "X": "string",
                "^": "string",
                "_": "string",
            }.get(letter, "escape" if " " <= letter <= "/" else "")
            belongs = " " <= letter <= "~"
        elif kind == "csi":
            if not " " <= letter <= "?":
                self._sequence, belongs = "", "@" <= letter <= "~"
        elif letter in "\x07\x9c":
            self._sequence = ""
        elif letter == "\x1b":
            self._sequence = "escape"  # ST is ESC and a backslash, which ends it
        return belongs


@functools.lru_cache(maxsize=4096)
def plain(letter: str) -> str:  # noqa: PLR0911 - a table of cases
    """What is read in place of a character: itself, a plain form, or nothing.

    Mathematical, fullwidth, circled and similar letters, ligatures and presentation forms become plain ones (NFKC);
    other compatibility characters, such as "…" and "½", stay.
    """
    category = unicodedata.category(letter)
    if category == "Zs" or letter == "\t":
        return " "
    if category in {"Zl", "Zp"} or letter in "\n\r\x0b\x0c\x85":
        return "\n"
    if letter == "\u2011":
        return "-"
    if letter in SMALL_CAPITALS:
        return SMALL_CAPITALS[letter]
    if 0xE0020 <= ord(letter) <= 0xE007F:
        return letter  # the tags of a flag's emoji
    if category[0] == "C" or letter in SILENT_SIGNS:
        return ""
    kind, _, rest = unicodedata.decomposition(letter).partition(" ")
    if kind not in LOOK_ALIKES or letter in KEPT:
        return letter
    first = "".join(chr(int(code, 16)) for code in rest.split())  # of "㎡" this is "m²", which NFKC would lose
    found = first if kind == "<square>" else unicodedata.normalize("NFKC", letter)
    if not all(each.isalnum() or unicodedata.category(each)[0] == "M" or each in "°∕/'" for each in found):
        return letter
    return f" {found} " if kind == "<circle>" and found.isdecimal() else found
