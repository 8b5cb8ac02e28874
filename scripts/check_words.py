"""Report words that the style guide bans, and lines of Markdown that are too long.

Usage: check_words.py [FILE ...]; without a file, every tracked text file. Prints `file:line: word → suggestion` for
each find and exits with 1 if there is one. A line that needs a banned word, such as quoted speech, ends with
`words: allow` in a comment; a file that is full of them is named in ALLOWED.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
MARKER = "words: allow"
LONGEST_LINE = 120  # characters of a line of Markdown

# Files that are not ours, are generated, or hold test data.
SKIPPED = (
    "LICENSE",
    "uv.lock",
    "*/uv.lock",
    "proto/voiceplane_proto/*",
    "*/livekit-client*",
    "*.svg",
    "*.ipynb",
    "scripts/check_words.py",
    "tests/unit/test_words.py",
)

# (path pattern, banned word as it is written there): uses that are right.
ALLOWED: tuple[tuple[str, str], ...] = (
    ("bench/corpus.py", "mended"),  # a text that is spoken
    ("CHANGELOG.md", "mouth"),  # a former name
)

# Pattern → suggestion. A word also matches as a part of a snake_case name, but not inside of another word.
WORDS: dict[str, str] = {
    # Archaisms.
    r"anew": "again",
    r"mend(s|ed|ing|able)?": "fix, repair",
    r"reckon(s|ed|ing)?": "estimate, compute",
    r"dear(er|est|ly)?": "expensive",
    r"lest": "so that ... not",
    r"hither(to)?|thither|whither": "here, until now",
    r"hence|thence|whence": "so, therefore, from where",
    r"forthwith": "at once, immediately",
    r"heed(s|ed|ing)?": "follow, respect",
    r"naught|nought|aught": "nothing, zero, anything",
    r"ought": "should, must",
    r"upon": "on",
    r"whereby|wherein|whereupon|thereof|therein|thereby|thereupon|herein|hereby": "name the thing that it refers to",
    r"for ever": "forever",
    r"befall(s|en)?|befell": "happen to",
    r"betwixt|amidst|amongst|whilst": "between, amid, among, while",
    # Phrases of the tree's former dialect.
    r"for want of": "because ... is missing",
    r"(is|are|was|were|be|been|being) told": "gets, receives, is notified of, reports",
    r"(is|are|was|were|be|been|being) had": "use an active verb: get, hold, install",
    r"had again": "obtained again, reacquired",
    r"passed by": "skipped, ignored",
    r"pass docker by": "skip Docker",
    r"by hand": "manually",
    r"what a person can ask for": "list the recipes",
    r"dealt like (cards)?": "assigned in turn, round-robin",
    r"go(es)? by another name": "is called, has another name",
    r"of its own accord": "by itself, automatically",
    r"falls? silent|fell silent": "stops speaking",
    r"in its stead|in their stead": "instead",
    r"nobody": "no one, no client, no user; or name what is unused",
    r"strangers?": "unknown, unauthenticated or unregistered clients",
    r"a person|persons": "a user, a caller, an operator",
    r"somebody": "a user, a client, a caller",
    r"(is|are|was|were) (in|on) its way out": "is ending",
    r"put (it |them )?right": "fix, correct",
    r"sees? to it": "make sure, ensure",
    # Metaphors of the body for parts of the program; "mouth to ear" is the field's term for a whole path's latency.
    r"mouths?(?![ -]to[ -]ear)": "speech output, output",
    r"(?<!mouth.to.)ears?": "audio input, speech input",
}

_FIND = re.compile(
    r"(?<![A-Za-z])(?:" + "|".join(f"(?P<w{i}>{word})" for i, word in enumerate(WORDS)) + r")(?![A-Za-z])",
    re.IGNORECASE,
)
_SUGGESTIONS = tuple(WORDS.values())
_LINK_TARGET = re.compile(r"\]\([^)\s]*\)|https?://\S+")


class Finding(NamedTuple):
    """One use of a banned word, or one line that is too long."""

    path: str
    line: int
    what: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what} → {self.suggestion}"


def banned_words(path: str, text: str) -> Iterator[Finding]:
    """The banned words of a file's text, without those that are allowed there."""
    allowed = {word.lower() for pattern, word in ALLOWED if fnmatch.fnmatch(path, pattern)}
    for number, line in enumerate(text.splitlines(), 1):
        if MARKER in line:
            continue
        for found in _FIND.finditer(line.replace("_", " ")):
            if found[0].lower() not in allowed:
                groups = found.groupdict()
                index = next(int(name[1:]) for name, value in groups.items() if value is not None)
                yield Finding(path, number, found[0], _SUGGESTIONS[index])


def long_lines(path: str, text: str) -> Iterator[Finding]:
    """The lines of a Markdown file that are too long; tables, code blocks and the targets of links do not count."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        opening = re.match(r"\s*(`{3,}|~{3,})", line)
        if opening and (not fence or line.strip() == fence):
            fence = "" if fence else opening[1]
            continue
        if fence or line.lstrip().startswith("|"):
            continue
        length = len(_LINK_TARGET.sub("", line))
        if length > LONGEST_LINE:
            yield Finding(path, number, f"a line of {length} characters", f"at most {LONGEST_LINE}")


def check(path: str, text: str) -> Iterator[Finding]:
    """What is wrong with a file's text; `path` is relative to the repository's root."""
    if any(fnmatch.fnmatch(path, pattern) for pattern in SKIPPED):
        return
    yield from banned_words(path, text)
    if path.endswith(".md"):
        yield from long_lines(path, text)


def tracked() -> list[str]:
    """The files of the repository, those included that are new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(set(listing.split("\0")) - {""})


def read(path: str) -> str:
    """The text of a file; nothing if it is gone or binary."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return ""


def main(arguments: Sequence[str]) -> int:
    """Check the named files, or all; 1 if something was found."""
    findings = [found for path in arguments or tracked() for found in check(path, read(path))]
    for found in findings:
        print(found)
    if findings:
        print(f"{len(findings)} banned words or long lines; scripts/check_words.py holds the list", file=sys.stderr)
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
