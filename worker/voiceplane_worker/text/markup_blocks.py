"""Markdown's blocks: what the beginning of a line means for the line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voiceplane_worker.text.chars import text_of
from voiceplane_worker.text.markup_parser import MAX_RUN_CHARS, MarkupParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.text.chars import Char
    from voiceplane_worker.text.markup_parser import Parser

BULLETS = frozenset("-*+•◦▪‣·–—")
RULE_CHARS = frozenset("-*_=|:+ ")
SPACES = frozenset([" ", "\n", ""])
SPOKEN_FENCES = frozenset(["text", "txt", "plaintext", "plain", "markdown", "md"])
MAX_REFERENCE_CHARS = 64


class BlockParser(MarkupParser):
    """Reads line after line: headings, rules, lists, tables, fences and definitions."""

    def __init__(self, *, ssml: bool, inline_phonemes: bool) -> None:
        """Begin a text.

        Args:
            ssml: Lines have no meaning.
            inline_phonemes: `[[ ]]` is kept as it is.
        """
        self._ssml = ssml
        self._inline_phonemes = inline_phonemes
        self._line_kind = ""
        self._code = 0  # length of the run of backticks that opened code
        self._brackets = 0
        self._spoken_fence = False
        self._handlers = self._marks()
        super().__init__()

    def _marks(self) -> dict[str, Callable[[Char], Parser]]:
        """The parsers of marks within a line, by their first characters."""
        raise NotImplementedError

    def _document(self) -> Parser:
        while True:
            if not self._ssml:
                yield from self._line_start()
            yield from self._line()

    def _line(self) -> Parser:
        while True:
            char = yield from self._fresh()
            letter = char[0]
            if not letter:
                continue
            if letter == "\n":
                self._end_line(char)
                return
            handler = None if self._code and letter != "`" else self._handlers.get(letter)
            if handler is None or (self._ssml and letter not in "<&"):
                self._emit(char)
            else:
                yield from handler(char)

    def _end_line(self, char: Char) -> None:
        if self._ssml:
            self._emit((" ", char[1], char[2]))
        elif self._line_kind:
            self._boundary(char)
        else:
            self._emit(char)

    def _line_start(self) -> Parser:
        self._line_kind = ""
        self._last = " "
        self._code = self._brackets = 0
        char = yield from self._fresh()
        while char[0] in {" ", ">", ""}:
            char = yield from self._fresh()
        letter = char[0]
        if letter == "#":
            yield from self._heading(char)
        elif letter in "`~":
            yield from self._fence(char)
        elif letter in RULE_CHARS or letter in BULLETS:
            yield from self._rule_or_item(char)
        elif letter.isdecimal():
            yield from self._numbered_item(char)
        elif letter == "[":
            yield from self._definition(char)
        else:
            self._unread([char])

    def _heading(self, first: Char) -> Parser:
        run = yield from self._run("#", first)
        following = yield from self._peek()
        if following in SPACES or (len(run) > 1 and following.isalpha()):
            self._line_kind = "heading"
            self._boundary(first)
        else:
            self._unread(run)

    def _hashes(self, first: Char) -> Parser:
        """A heading may end with a run of its mark."""
        run = yield from self._run("#", first)
        following = yield from self._peek()
        if self._line_kind != "heading" or self._last != " " or following not in SPACES:
            for char in run:
                self._emit(char)

    def _rule_or_item(self, first: Char) -> Parser:
        read = [first, (yield from self._next())]
        while read[-1][0] in RULE_CHARS and len(read) < MAX_RUN_CHARS:
            read.append((yield from self._next()))
        marks = text_of(read[:-1])
        if read[-1][0] in {"\n", ""} and _is_rule(marks):
            self._boundary(first)
            self._unread(read[-1:])
            return
        if first[0] in BULLETS and read[1][0] == " ":
            self._unread(read[1:])
            self._line_kind = "item"
            self._boundary(first)
            yield from self._task_box()
            return
        if first[0] == "|":
            self._line_kind = "row"
            self._boundary(first)
        self._unread(read)

    def _task_box(self) -> Parser:
        read = [(yield from self._next())]
        while read[-1][0] == " ":
            read = [(yield from self._next())]
        if read[0][0] == "[":
            for _ in range(2):
                read.append((yield from self._next()))
            if read[1][0] and read[1][0] in " xX" and read[2][0] == "]":
                return
        self._unread(read)

    def _numbered_item(self, first: Char) -> Parser:
        read = [first]
        while read[-1][0].isdecimal() and len(read) < 4:
            read.append((yield from self._next()))
        if read[-1][0] and read[-1][0] in ".)" and len(read) > 1:
            following = yield from self._peek()
            if following == " ":
                self._line_kind = "item"
                self._boundary(first)
                for char in read[:-1]:
                    self._emit(char)
                self._emit((".", read[-1][1], read[-1][2]))
                return
        self._unread(read)

    def _fence(self, first: Char) -> Parser:
        run = yield from self._run(first[0], first)
        if len(run) < 3:
            self._unread(run)
            return
        rest, ended = yield from self._until("\n", limit=MAX_REFERENCE_CHARS, stops="`" if first[0] == "`" else "")
        info = text_of(rest).strip()
        if not ended and rest[-1][0]:
            self._unread(rest)  # code within a line
            self._code = len(run)
            return
        self._boundary(first)
        self._line_kind = "fence"
        self._unread(rest[-1:])
        if self._spoken_fence or info.lower() in SPOKEN_FENCES:
            self._spoken_fence = not self._spoken_fence
            return
        yield from self._skip_fence(first[0], len(run))

    def _skip_fence(self, mark: str, length: int) -> Parser:
        """Code is not spoken."""
        count, at_start = 0, False
        while count < length:
            char = yield from self._fresh()
            if char[0] == mark and at_start:
                count += 1
            elif char[0] and not (char[0] == " " and count == 0 and at_start):
                count, at_start = 0, char[0] == "\n"

    def _definition(self, first: Char) -> Parser:
        """A footnote's text is spoken, the target of a reference is not."""
        if self._inline_phonemes and (yield from self._peek()) == "[":
            self._unread([first])
            return
        read, closed = yield from self._until("]", limit=MAX_REFERENCE_CHARS)
        if closed and (yield from self._peek()) == ":":
            colon = yield from self._next()
            if read[0][0] == "^":
                self._boundary(first)
                return
            space = yield from self._next()
            target, _ = yield from self._until(" ", limit=MAX_REFERENCE_CHARS)
            if re.match(r"\S+://|[/#<]|www\.", text_of(target)):
                self._unread(target[-1:])
                yield from self._skip_line()
                return
            read += [colon, space, *target]
        self._unread([first, *read])

    def _skip_line(self) -> Parser:
        while True:
            char = yield from self._fresh()
            if char[0] == "\n":
                self._unread([char])
                return
            if not char[0]:
                return


def _is_rule(marks: str) -> bool:
    """Whether a line of marks is a rule, the line under a heading, or the one under a table's head."""
    kinds = set(marks) - {" "}
    if len(kinds) == 1 and kinds <= set("-*_="):
        return len(marks.replace(" ", "")) > 1
    return "-" in kinds and bool(kinds & set("|+")) and kinds <= set("-|:+=")
