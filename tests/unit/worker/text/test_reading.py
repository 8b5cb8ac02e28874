"""What is said for a text, in eight languages; and that neither its cuts nor its length change that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from voiceplane_worker.text.boundary_rules import speakable
from voiceplane_worker.text.numbers import NumberWords
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import MAX_SPOKEN_CHARS, TextReader
from voiceplane_worker.text.words import SYMBOLS

from tests.unit.worker.text.cases import TABLE

if TYPE_CHECKING:
    from voiceplane_worker.text.segmenter import Segmentation, TextSegment

CASES = [
    pytest.param(language, text, spoken, id=f"{kind}-{number}")
    for kind, cases in TABLE.items()
    for number, (language, text, spoken) in enumerate(cases)
]
MARKS = [
    *"*_~`#=|-+>[]()<&;$\\/!?.,:\n ",
    "**", "```", "\n\n", "](", "<b>", "</b>", "<think>", "</think>", "<br/>", "&amp;", "[[", "]]", "$x$", "\\(", "\\)",
    "1. ", "- ", "| ", "http://a.example/b", "a@b.com", "$5", "3.5", "II", "Dr. ", "😀", "👍🏽", "\x1b[0m", "\ud83d",
    "e\u0301", "ﬁ", "…", "你好。", "word", "Word", "[^1]", "[1]", ":-)", "½", "May 5", "10:30", "<speak>",
    "<sub alias='x'>", '<break time="1s"/>', "```text\n", "\r\n", "u.It ", "Go!Now",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(MARKS) | st.text(max_size=6), max_size=24).map("".join)
POLICIES = st.builds(
    TextPolicy,
    markup=st.sampled_from(["strip", "speak", "ssml"]),
    emoji=st.sampled_from(["drop", "name"]),
    normalise=st.sampled_from(["full", "none"]),
    inline_phonemes=st.booleans(),
)
LANGUAGES = st.sampled_from([*SYMBOLS, "pt-BR", "en-GB", "zh", "hi", "tlh", ""])
SEGMENTATIONS: st.SearchStrategy[Segmentation] = st.sampled_from(["clause", "sentence"])
DEFAULT = TextPolicy()


def read(
    chunks: list[str], *, language: str = "en", segmentation: Segmentation = "sentence", policy: TextPolicy = DEFAULT
) -> list[TextSegment]:
    reader = TextReader(language=language, segmentation=segmentation, policy=policy)
    return [*(segment for chunk in chunks for segment in reader.push(chunk)), *reader.flush()]


def said(text: str, *, language: str = "en", **policy: object) -> str:
    found = read([text], language=language, policy=TextPolicy(**policy))  # type: ignore[arg-type]
    return " | ".join(segment.text for segment in found)


@pytest.mark.parametrize(("language", "text", "spoken"), CASES)
def test_what_is_said(language: str, text: str, spoken: str) -> None:
    assert said(text, language=language) == spoken


def test_the_table_has_eight_languages_and_enough_cases() -> None:
    languages = {case.values[0] for case in CASES}
    assert set(SYMBOLS) <= languages
    assert len(CASES) >= 250


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, language=LANGUAGES, segmentation=SEGMENTATIONS, policy=POLICIES, data=st.data())
def test_any_cuts_give_the_same_segments(
    text: str, language: str, segmentation: Segmentation, policy: TextPolicy, data: st.DataObject
) -> None:
    whole = read([text], language=language, segmentation=segmentation, policy=policy)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(chunks, language=language, segmentation=segmentation, policy=policy) == whole
    assert read(list(text), language=language, segmentation=segmentation, policy=policy) == whole


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, language=LANGUAGES, segmentation=SEGMENTATIONS, policy=POLICIES)
@example(text="1" * 400, language="en", segmentation="sentence", policy=DEFAULT)
def test_segments_point_to_what_was_sent_in_order(
    text: str, language: str, segmentation: Segmentation, policy: TextPolicy
) -> None:
    start = end = 0
    for segment in read([text], language=language, segmentation=segmentation, policy=policy):
        assert start <= segment.start < segment.end <= len(text)
        assert segment.end >= end
        assert segment.text == segment.text.strip()
        assert speakable(segment.text)
        assert len(segment.text) <= MAX_SPOKEN_CHARS
        start, end = segment.start, segment.end


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8), max_size=30))
def test_plain_words_are_all_said_in_order(words: list[str]) -> None:
    text = " ".join(words)
    found = read([text], language="tlh")
    assert " ".join(segment.text for segment in found) == text


@pytest.mark.parametrize(
    "unit",
    [
        *"a *<[`&|1=~(",
        "\n", "**a", "<a ", "<!--", "](", "](a", "$a ", "$x$ ", "```", "&amp", "\\(", "- ", "# ", "[[", "1.", "1,",
        "1-", "1/", "1:2", "a@", "a.", "A.", "...", "—", "😀", "👍🏽", "e\u0301", "\x1b[", "http://", "II ", "$5 ",
        ":a", "[1", "【", "<think>", "May 5", "_a", "1. ", "\ud83d", "a\u200d",
    ],
)  # fmt: skip
def test_the_time_grows_with_the_length_and_no_faster(unit: str) -> None:
    def cost_s(text: str) -> float:
        policy = TextPolicy(emoji="name", inline_phonemes=True)
        began = time.process_time()
        read([text[at : at + 256] for at in range(0, len(text), 256)], policy=policy)
        return time.process_time() - began

    cost_s(unit * 10)
    short, long = (f"a {unit * (length // len(unit))} b" for length in (500, 2_000))
    assert cost_s(long) < 16 * max(cost_s(short), 0.02)
    assert cost_s(short) < 0.5, "a millisecond for each character"


def test_a_link_may_be_cut_anywhere_and_its_words_keep_their_place() -> None:
    text = "See [the docs](https://a.example/b) now. **Done**."
    segments = read(list(text))
    assert [segment.text for segment in segments] == ["See the docs now.", "Done."]
    assert [text[segment.start : segment.end] for segment in segments] == [
        "See [the docs](https://a.example/b) now.",
        "Done**.",
    ]


def test_text_is_spoken_as_it_stands_where_a_session_asks_for_it() -> None:
    assert said("<b>Hi</b>", markup="speak", normalise="none") == "<b>Hi</b>"
    assert said("a&amp;b", markup="speak") == "a and amp;b"


def test_markdown_has_no_meaning_in_ssml() -> None:
    assert said("<s>One</s>\n- two <emphasis>three</emphasis>", markup="ssml") == "One | two three"


def test_a_break_is_a_pause_before_what_follows() -> None:
    segments = read(['One<break time="1.5s"/><break strength="weak"/>two<break time="0s"/> three'])
    assert [(segment.text, segment.pause_ms) for segment in segments] == [("One", 0), ("two three", 1750)]


def test_an_unbounded_break_is_cut() -> None:
    assert read(['a<break time="999s"/>b'])[1].pause_ms == 10_000


def test_what_a_library_has_no_words_for_is_left_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: NumberWords, _number: int) -> str:
        raise IndexError

    monkeypatch.setattr(NumberWords, "cardinal", fail)
    assert said("It is 3 km.") == "It is 3 km."


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("en", "Nice grinning face."), ("de", "Nice grinsendes gesicht."), ("nl", "Nice.")],
)
def test_emoji_have_names_where_a_session_asks_for_them(language: str, spoken: str) -> None:
    assert said("Nice 😀.", language=language, emoji="name").lower() == spoken.lower()


def test_numbers_are_left_to_the_model_where_a_session_asks_for_it() -> None:
    assert said("It is **3** km.", normalise="none") == "It is 3 km."


def test_double_brackets_are_phonemes_only_where_a_session_asks_for_them() -> None:
    assert said("a [[həˈloʊ 5]] b") == "a həˈloʊ five b"
    assert said("a [[həˈloʊ 5]] b", inline_phonemes=True) == "a [[həˈloʊ 5]] b"
    assert "[[" not in said("a [[b]] c", markup="speak")
    assert said('<phoneme ph="x y">word</phoneme> b', inline_phonemes=True) == "[[x y]] b"


def test_a_flush_decides_what_is_open() -> None:
    reader = TextReader(language="en", segmentation="sentence", policy=DEFAULT)
    assert reader.push("It costs $5") == []
    assert [segment.text for segment in reader.flush()] == ["It costs five dollars"]
    assert [segment.text for segment in [*reader.push(" and more."), *reader.flush()]] == ["and more."]


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("It is done.", True),
        ("It is done!", True),
        ("**It is done.**", True),
        ("It costs $5.", True),
        ("It is Dr.", False),
        ("It is", False),
        ("It is done. <thi", False),
        ("See [a](b. ", False),
        ("", False),
        ("...", False),
    ],
)
def test_a_sentence_is_finished_when_only_more_text_could_tell_otherwise(text: str, finished: bool) -> None:
    reader = TextReader(language="en", segmentation="sentence", policy=DEFAULT)
    reader.push(text)
    assert reader.finished_sentence is finished


def test_what_is_not_spoken_does_not_count_as_pending() -> None:
    reader = TextReader(language="en", segmentation="sentence", policy=DEFAULT)
    reader.push("<think>" + "secret " * 10_000)
    assert reader.pending_chars < 1_000
