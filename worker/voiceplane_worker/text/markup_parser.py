"""What the parser of markup is made of: it reads a character, looks ahead, takes back, and writes what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_worker.text.chars import BOUNDARY, END, is_boundary, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from voiceplane_worker.text.chars import Char

    Parser = Generator[None, "Char", None]
    Reading = Generator[None, "Char", "Char"]

MAX_RUN_CHARS = 256


class MarkupParser:
    """Runs a parser that is written as a generator: it waits for a character where it needs one."""

    def __init__(self) -> None:
        self._out: list[Char] = []
        self._back: list[Char] = []  # characters to be read again, the next one last
        self._held: list[Char] = []  # read since a mark began, and undecided
        self._last = " "  # the last character that was kept
        self._spelled = False
        self._parser = self._document()
        next(self._parser)

    @property
    def held(self) -> str:
        """What was read and not decided."""
        return text_of(self._held)

    def push(self, chars: Iterable[Char]) -> list[Char]:
        """Take characters."""
        for char in chars:
            self._parser.send(char)
        return self._taken()

    def flush(self) -> list[Char]:
        """Decide what is undecided."""
        self._parser.send(END)
        return self._taken()

    def _document(self) -> Parser:
        raise NotImplementedError

    def _taken(self) -> list[Char]:
        taken, self._out = self._out, []
        return taken

    def _next(self) -> Reading:
        if self._back:
            char = self._back.pop()
        else:
            char = yield
        self._held.append(char)
        return char

    def _fresh(self) -> Reading:
        """The next character, where nothing is undecided."""
        self._held.clear()
        char = yield from self._next()
        return char

    def _unread(self, chars: list[Char]) -> None:
        self._back.extend(reversed(chars))
        del self._held[max(len(self._held) - len(chars), 0) :]

    def _run(self, letter: str, first: Char) -> Generator[None, Char, list[Char]]:
        """The characters that equal the first one."""
        run = [first]
        while True:
            char = yield from self._next()
            if char[0] != letter or len(run) >= MAX_RUN_CHARS:
                self._unread([char])
                return run
            run.append(char)

    def _peek(self) -> Generator[None, Char, str]:
        char = yield from self._next()
        self._unread([char])
        return char[0]

    def _until(self, end: str, *, limit: int, stops: str = "\n") -> Generator[None, Char, tuple[list[Char], bool]]:
        """Read to the end of a mark.

        Returns:
            What was read, and whether it ends with the mark. It does not after the limit, or before one of the stops or
            the end of the text, which are among what was read.
        """
        read: list[Char] = []
        while len(read) < limit:
            char = yield from self._next()
            read.append(char)
            if char[0] == end[-1] and text_of(read[-len(end) :]) == end:
                return read, True
            if not char[0] or char[0] in stops:
                break
        return read, False

    def _emit(self, char: Char) -> None:
        self._last = char[0]
        self._out.append(char)
        if self._spelled and char[0].isalnum():
            self._out.append((" ", char[2], char[2]))

    def _say(self, text: str, start: int, end: int) -> None:
        """Words in place of a range of the source."""
        for letter in text:
            self._emit((letter, start, end))

    def _boundary(self, char: Char, mark: str = BOUNDARY) -> None:
        if not self._out or not is_boundary(self._out[-1][0]) or mark != BOUNDARY:
            self._out.append((mark, char[1], char[2]))
        self._last = " "
