"""Markup: drops what formats a text, and keeps what it says and where it pauses.

The parser reads one character at a time and decides as soon as it can, so chunks of any size give the same text. It is
no validator: a model writes half a mark and a user writes a lone asterisk. Each look ahead has a limit, after which the
mark is read as it stands.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from voiceplane_worker.text import latex
from voiceplane_worker.text.characters import plain
from voiceplane_worker.text.chars import pause_mark, text_of
from voiceplane_worker.text.markup_blocks import MAX_REFERENCE_CHARS, SPACES, BlockParser
from voiceplane_worker.text.tags import (
    AUTOLINK,
    BLOCK_ELEMENTS,
    CELL_ELEMENTS,
    MUTED_BRACKETS,
    MUTED_ELEMENTS,
    SPELLED,
    break_ms,
    parse_tag,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.text.chars import Char
    from voiceplane_worker.text.markup_parser import Parser

MAX_TAG_CHARS = 512
MAX_ENTITY_CHARS = 32
MAX_MATH_CHARS = 200
MAX_DISPLAY_MATH_CHARS = 600
MAX_TARGET_CHARS = 2048
MAX_PHONEME_CHARS = 200


class MarkupStage(BlockParser):
    """Drops Markdown, HTML, LaTeX and blocks of a model's own; of SSML, it keeps what it says about speech."""

    def __init__(self, *, ssml: bool, language: str, inline_phonemes: bool) -> None:
        """Begin a text.

        Args:
            ssml: Only tags and entities have a meaning.
            language: Primary subtag; formulas are read in it.
            inline_phonemes: `[[ ]]` is kept as it is.
        """
        self._language = language
        super().__init__(ssml=ssml, inline_phonemes=inline_phonemes)

    def _marks(self) -> dict[str, Callable[[Char], Parser]]:
        return {
            "*": self._emphasis,
            "_": self._emphasis,
            "~": self._emphasis,
            "=": self._emphasis,
            "#": self._hashes,
            "`": self._backticks,
            "[": self._open_bracket,
            "]": self._close_bracket,
            "<": self._angle,
            "&": self._entity,
            "$": self._dollar,
            "\\": self._backslash,
            "|": self._bar,
            "【": self._citation,
        }

    def _emphasis(self, first: Char) -> Parser:
        mark = first[0]
        run = yield from self._run(mark, first)
        following = yield from self._peek()
        before, after = self._last.isalnum(), following.isalnum()
        if mark == "*":
            dropped = not (self._last.isdecimal() and following.isdecimal()) and not (
                self._last == " " and following == " "
            )
        elif mark == "_":
            dropped = not (before and after)
        elif mark == "~":
            dropped = len(run) > 1
        else:
            dropped = len(run) == 2 and before != after
        if not dropped:
            for char in run:
                self._emit(char)

    def _backticks(self, first: Char) -> Parser:
        run = yield from self._run("`", first)
        if not self._code:
            self._code = len(run)
        elif self._code == len(run):
            self._code = 0

    def _bar(self, first: Char) -> Parser:
        following = yield from self._peek()
        if self._line_kind == "row" or self._last == " " or following == " ":
            self._emit((",", first[1], first[2]))
            self._emit((" ", first[2], first[2]))
        else:
            self._emit((" ", first[1], first[2]))

    def _open_bracket(self, first: Char) -> Parser:  # noqa: C901 - a bracket has that many meanings
        following = yield from self._peek()
        if following == "[" and self._inline_phonemes:
            read, closed = yield from self._until("]]", limit=MAX_PHONEME_CHARS)
            if closed:
                for char in (first, *read):
                    self._emit(char)
                return
            self._unread(read)
        elif following == "^":
            read, closed = yield from self._until("]", limit=MAX_REFERENCE_CHARS)
            if closed:
                return
            self._unread(read)
        elif following.isdecimal():
            read = [(yield from self._next())]
            while read[-1][0] and (read[-1][0].isdecimal() or read[-1][0] in ",;– -") and len(read) < 16:
                read.append((yield from self._next()))
            if read[-1][0] == "m" or (read[-1][0] == "]" and (yield from self._peek()) != "("):
                return  # a citation, or a colour whose escape character was lost
            self._unread(read)
        elif following.isupper() or following == "/":
            read, closed = yield from self._until("]", limit=16)
            name = f"[{text_of(read)}"
            if closed and (name in MUTED_BRACKETS or f"[/{name[2:]}" in MUTED_BRACKETS.values()):
                yield from self._mute(MUTED_BRACKETS.get(name, ""), first)
                return
            self._unread(read)
        self._brackets += 1

    def _close_bracket(self, first: Char) -> Parser:
        del first
        following = yield from self._peek()
        if not self._brackets:
            return
        self._brackets -= 1
        if following == "(":
            yield from self._link_target()
        elif following == "[":
            read, closed = yield from self._until("]", limit=MAX_REFERENCE_CHARS)
            if not closed:
                self._unread(read)

    def _link_target(self) -> Parser:
        """A link's address and title. A long one is dropped, whatever it is; a short one with a space is text."""
        read = [(yield from self._next())]
        if (yield from self._peek()) == "<":
            address, _ = yield from self._until(">", limit=MAX_TARGET_CHARS)
            read += address
        depth = 1
        titled = ""
        while depth and len(read) < MAX_TARGET_CHARS:
            char = yield from self._next()
            letter = char[0]
            if letter in {"\n", ""}:
                self._unread([char])
                return
            if read[-1][0] == " " and not titled:
                if letter not in "\"'(" and len(read) <= MAX_REFERENCE_CHARS:
                    read.append(char)
                    self._unread(read)
                    return
                titled = letter
            read.append(char)
            depth += {"(": 1, ")": -1}.get(letter, 0)

    def _citation(self, first: Char) -> Parser:
        read, closed = yield from self._until("】", limit=MAX_REFERENCE_CHARS)
        if not (closed and any(char[0] == "†" for char in read)):
            self._emit(first)
            self._unread(read)

    def _backslash(self, first: Char) -> Parser:
        char = yield from self._next()
        letter = char[0]
        if letter and letter in "([":
            end = "\\)" if letter == "(" else "\\]"
            read, closed = yield from self._until(end, limit=MAX_DISPLAY_MATH_CHARS, stops="")
            if closed:
                self._formula(text_of(read[:-2]), first[1], read[-1][2])
                return
            self._unread(read)
            self._emit(char)
        elif letter and letter.isascii() and letter.isalpha():
            read = [char]
            while read[-1][0].isascii() and read[-1][0].isalpha() and len(read) < MAX_REFERENCE_CHARS:
                read.append((yield from self._next()))
            self._unread(read[-1:])
            name = text_of(read[:-1])
            self._say(latex.command(name, self._language) or f" {name}", first[1], read[-2][2])
        elif letter and letter.isascii() and not letter.isalnum() and letter not in " \n":
            self._emit(char)
        else:
            self._unread([char])

    def _dollar(self, first: Char) -> Parser:
        following = yield from self._peek()
        if self._last.isalpha() or following in SPACES:
            self._emit(first)
        elif following == "$":
            yield from self._display_math(first)
        else:
            yield from self._math(first, number=following.isdecimal())

    def _display_math(self, first: Char) -> Parser:
        second = yield from self._next()
        read, closed = yield from self._until("$$", limit=MAX_DISPLAY_MATH_CHARS, stops="")
        if closed:
            self._formula(text_of(read[:-2]), first[1], read[-1][2])
        else:
            self._emit(first)
            self._emit(second)
            self._unread(read)

    def _math(self, first: Char, *, number: bool) -> Parser:
        """`$x$` is a formula; `$5 and $6` are prices, and `$HOME` is a name."""
        read: list[Char] = []
        while len(read) < MAX_MATH_CHARS:
            char = yield from self._next()
            read.append(char)
            letter = char[0]
            if letter in {"\n", ""} or (number and letter == " "):
                break
            if len(read) == 2 and text_of(read).isalpha():
                break
            if letter == "$" and read[-2:-1] and read[-2][0] not in " \\":
                following = yield from self._peek()
                if not following.isdecimal():
                    self._formula(text_of(read[:-1]), first[1], char[2])
                    return
                if number:
                    break
        self._emit(first)
        self._unread(read)

    def _formula(self, source: str, start: int, end: int) -> None:
        self._say(latex.words(source, self._language), start, end)

    # Tags and entities.

    def _entity(self, first: Char) -> Parser:
        read = [(yield from self._next())]
        while read[-1][0] and (read[-1][0].isascii() and (read[-1][0].isalnum() or read[-1][0] == "#")):
            if len(read) >= MAX_ENTITY_CHARS:
                break
            read.append((yield from self._next()))
        source = f"&{text_of(read)}"
        found = html.unescape(source)
        if read[-1][0] != ";" or found == source:
            self._emit(first)
            self._unread(read)
            return
        for letter in "".join(map(plain, found)):
            self._emit((" " if letter == "\n" else letter, first[1], read[-1][2]))

    def _angle(self, first: Char) -> Parser:
        following = yield from self._peek()
        if not (following.isalpha() or (following and following in "/!?|｜")):
            self._emit(first)
            return
        read, closed = yield from self._until(">", limit=MAX_TAG_CHARS, stops="<")
        inside = text_of(read[:-1])
        if inside.startswith("!--"):
            if not (closed and inside.endswith("--")):
                self._unread(read[-1:] if not closed else [])
                yield from self._mute("-->", first)
        elif closed and (inside[0] in "!?" or (inside[0] in "|｜" and inside[-1] in "|｜")):
            pass  # a declaration, an instruction, or a token of a model's own
        elif closed and AUTOLINK.fullmatch(inside):
            for char in read[:-1]:
                self._emit(char)
        elif closed and (tag := parse_tag(inside)) is not None:
            yield from self._tag(*tag, first=first, last=read[-1])
        else:
            self._emit(first)
            self._unread(read)

    def _tag(
        self, name: str, attributes: dict[str, str], closes: bool, empty: bool, *, first: Char, last: Char
    ) -> Parser:
        full_name, name = name, name.rpartition(":")[2]
        if name == "speak":
            self._ssml = True
        if name == "break":
            pause_ms = break_ms(attributes)
            if pause_ms > 0:
                self._boundary((first[0], first[1], last[2]), pause_mark(pause_ms))
        elif name in BLOCK_ELEMENTS or (name == "s" and self._ssml):
            self._boundary(first)
        elif name in CELL_ELEMENTS:
            self._say(", ", first[1], first[1])
        elif name == "say-as":
            self._spelled = not closes and attributes.get("interpret-as", "") in SPELLED
        elif name == "img":
            self._say(attributes.get("alt", ""), first[1], last[2])
        elif not closes and not empty:
            yield from self._element(full_name, attributes, first=first, last=last)

    def _element(self, full_name: str, attributes: dict[str, str], *, first: Char, last: Char) -> Parser:
        name = full_name.rpartition(":")[2]
        if name in MUTED_ELEMENTS:
            yield from self._mute(f"</{full_name}>", first)
        elif name == "sub" and "alias" in attributes:
            self._say(attributes["alias"], first[1], last[2])
            yield from self._mute(f"</{full_name}>", None)
        elif name == "phoneme" and self._inline_phonemes and attributes.get("alphabet", "ipa") == "ipa":
            self._say(f"[[{attributes.get('ph', '')}]]", first[1], last[2])
            yield from self._mute(f"</{full_name}>", None)
        elif name == "sup":
            following = yield from self._next()
            raised = {"1": "¹", "2": "²", "3": "³"}.get(following[0])
            if raised is None:
                self._unread([following])
            else:
                self._emit((raised, following[1], following[2]))

    def _mute(self, end: str, first: Char | None) -> Parser:
        """Drop all up to and including the end, however far it is; first: where a segment ends before it."""
        if first is not None:
            self._boundary(first)
        if not end:
            return
        tail = ""
        while tail != end:
            char = yield from self._fresh()
            tail = (tail + (char[0] if end.isupper() else char[0].lower()))[-len(end) :]
