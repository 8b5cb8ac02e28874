"""The word list of the linter finds what it bans, and nothing else."""

from __future__ import annotations

import pytest

from scripts import check_words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Load it anew.", "anew"),
        ("a stream that Mends itself", "Mends"),
        ("for want of room", "for want of"),
        ("The caller is told why.", "is told"),
        ("def test_nobody_waits() -> None:", "nobody"),
        ("kill it by hand", "by hand"),
    ],
)
def test_a_banned_word_is_found(text: str, word: str) -> None:
    (found,) = check_words.check("worker/a.py", f"first line\n{text}\n")
    assert (found.path, found.line, found.what) == ("worker/a.py", 2, word)
    assert found.suggestion


@pytest.mark.parametrize(
    "text",
    ["amend the commit", "recommended, and emended", "the year, near the gear", "it told the caller", "mouth to ear"],
)
def test_a_part_of_another_word_is_not_found(text: str) -> None:
    assert list(check_words.check("worker/a.py", text)) == []


def test_a_marked_line_is_allowed() -> None:
    text = 'speak("Nobody knows.")  # words: allow\nspeak("Nobody knows.")\n'
    assert [found.line for found in check_words.check("tests/a.py", text)] == [2]


def test_a_word_is_allowed_where_the_list_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_words, "ALLOWED", (("tests/corpus/*", "nobody"),))
    assert list(check_words.check("tests/corpus/a.py", "Nobody knows.")) == []
    assert len(list(check_words.check("tests/corpus/a.py", "Nobody begins anew."))) == 1
    assert len(list(check_words.check("worker/a.py", "Nobody knows."))) == 1


@pytest.mark.parametrize("path", ["LICENSE", "uv.lock", "proto/voiceplane_proto/a_pb2.py"])
def test_files_of_others_are_skipped(path: str) -> None:
    assert list(check_words.check(path, "thereof, hereby")) == []


def test_long_lines_of_markdown_are_found() -> None:
    text = f"{'word ' * 30}\nshort\n"
    assert [found.line for found in check_words.check("docs/a.md", text)] == [1]
    assert list(check_words.check("worker/a.py", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        f"| {'cell ' * 30} |",
        f"```sh\n{'word ' * 30}\n```",
        f"````\n```\n{'word ' * 30}\n```\n````",
        f"[a link](https://example.test/{'a' * 120})",
        f"- https://example.test/{'a' * 120}",
    ],
)
def test_what_cannot_be_wrapped_is_not_a_long_line(text: str) -> None:
    assert list(check_words.check("docs/a.md", text)) == []


def test_a_line_after_a_code_block_is_checked() -> None:
    text = f"```sh\nls\n```\n{'word ' * 30}\n"
    assert [found.line for found in check_words.check("docs/a.md", text)] == [4]
