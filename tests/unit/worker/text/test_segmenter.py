"""Text in chunks of any size gives the same pieces, cut where a speaker would."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voiceplane_worker.text.boundary_rules import speakable
from voiceplane_worker.text.chars import source_chars
from voiceplane_worker.text.segmenter import MAX_SEGMENT_CHARS, Segmentation, TextSegment, TextSegmenter

FRAGMENTS = [
    "Hello there. ",
    "Dr. Smith paid 3.14 dollars, or 3,14 euros. ",
    "See https://a.example/x?y=1,2. ",
    "z. B. Müller ",
    "Wait... what?! ",
    "“Go.” he said. ",
    "你好。今天，天气很好！ ",
    "यह है। वह है। ",
    "At 10:30 p.m. we left; ",
    "\n\n",
    " ",
    "one two three four five six seven eight nine ten eleven ",
    "because of it ",
    "🙂 ",
    "U.S. Government, ",
    "a",
    ".",
    "\t",
    "mail me@example.org. ",
    "10 Downing St., London. ",
    "x" * 50,
    "¿Qué? ",
    "السلام عليكم، كيف حالك؟ ",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=12), max_size=14).map("".join)
LANGUAGES = st.sampled_from(["en-US", "de", "fr-FR", "zh", "hi", "ar", "tlh", ""])
SEGMENTATIONS: st.SearchStrategy[Segmentation] = st.sampled_from(["clause", "sentence"])


def split(chunks: list[str], *, language: str = "en-US", segmentation: Segmentation = "clause") -> list[TextSegment]:
    splitter = TextSegmenter(language=language, segmentation=segmentation)
    pieces: list[TextSegment] = []
    position = 0
    for chunk in chunks:
        pieces += splitter.push(source_chars(chunk, start=position))
        position += len(chunk)
    return pieces + splitter.flush()


def words(text: str, *, language: str = "en-US", segmentation: Segmentation = "sentence") -> list[str]:
    return [piece.text for piece in split([text], language=language, segmentation=segmentation)]


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, language=LANGUAGES, segmentation=SEGMENTATIONS, data=st.data())
def test_any_chunking_gives_the_same_pieces(
    text: str, language: str, segmentation: Segmentation, data: st.DataObject
) -> None:
    whole = split([text], language=language, segmentation=segmentation)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(chunks, language=language, segmentation=segmentation) == whole
    assert split(list(text), language=language, segmentation=segmentation) == whole


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, language=LANGUAGES, segmentation=SEGMENTATIONS)
def test_all_that_can_be_spoken_is_in_the_pieces_once_and_in_order(
    text: str, language: str, segmentation: Segmentation
) -> None:
    pieces = split([text], language=language, segmentation=segmentation)
    position = 0
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.text
        assert speakable(piece.text)
        assert len(piece.text) <= MAX_SEGMENT_CHARS
        assert not speakable(text[position : piece.start])
        position = piece.end
    assert not speakable(text[position:])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "It costs 3.14 dollars and 1,234.50 euros today."),
        ("de", "Das kostet 3,14 Euro, z. B. bei Dr. Müller am 3. Mai."),
        ("en", "Dr. Smith lives at 10 Downing St., London, with Mrs. Jones."),
        ("en", "Read https://docs.example.org/a.html?q=1,2 or write to a.b@example.org now."),
        ("en", "The U.S. Government met J. Smith at 10:30 a.m. today."),
        ("en", "Version 1.2.3 of e.g. this tool is out."),
        ("fr", "M. Dupont habite au 3, rue de la Paix."),
        ("es", "La Sra. López pagó 3,50 euros."),
    ],
)
def test_numbers_abbreviations_addresses_and_links_stay_whole(language: str, text: str) -> None:
    assert words(text, language=language) == [text]


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Yes! No? Maybe… fine. Go.", ["Yes!", "No?", "Maybe… fine.", "Go."]),
        ("en", 'He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("zh", "你好。今天天气很好！走吧", ["你好。", "今天天气很好！", "走吧"]),
        ("hi", "यह है। वह है।", ["यह है।", "वह है।"]),
        ("ar", "كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("es", "¿Qué hora es? Son las dos.", ["¿Qué hora es?", "Son las dos."]),
        ("en", "A title\n\nThen text", ["A title", "Then text"]),
        ("en", "1. Apples are red.", ["1. Apples are red."]),
    ],
)
def test_sentences_are_split_by_the_rules_of_their_language(language: str, text: str, sentences: list[str]) -> None:
    assert words(text, language=language) == sentences


@pytest.mark.parametrize(
    ("language", "text", "first"),
    [
        ("en", "If you like, we can go to the park. It is near.", "If you like,"),
        ("en", "Well, then, we go home now, all of us.", "Well, then, we go home now,"),
        (
            "en",
            "The engineer explained that the pressure had been rising.",
            "The engineer explained that the pressure had been rising.",
        ),
        ("en", "The old man told me that the pressure had been rising.", "The old man told me"),
        ("en", "We have looked everywhere in town for that missing key.", "We have looked everywhere in town"),
        ("de", "Ich habe dir gestern gesagt, dass es regnet.", "Ich habe dir gestern gesagt,"),
        ("zh", "今天的天气很好，我们去公园吧。", "今天的天气很好，"),
        ("en", "We met on May 5, 2024, in Rome.", "We met on May 5, 2024,"),
    ],
)
def test_the_first_piece_is_a_short_clause(language: str, text: str, first: str) -> None:
    assert words(text, language=language, segmentation="clause")[0] == first


def test_a_piece_leaves_with_the_character_that_decides_it() -> None:
    splitter = TextSegmenter(language="en", segmentation="sentence")
    assert splitter.push(source_chars("Hello there.")) == []
    assert splitter.push(source_chars(" ", start=12)) == []
    assert splitter.push(source_chars("H", start=13)) == [TextSegment("Hello there.", 0, 12)]


@pytest.mark.parametrize("text", ["a" + " " * 50_000, "\n" * 50_000])
def test_white_space_is_not_kept(text: str) -> None:
    splitter = TextSegmenter(language="en", segmentation="sentence")
    for start in range(0, len(text), 512):
        splitter.push(source_chars(text[start : start + 512], start=start))
    assert len(splitter._text) <= MAX_SEGMENT_CHARS


@pytest.mark.parametrize("text", ["a" * 100_000, "ab " * 30_000, "." * 50_000, " " * 50_000])
def test_a_long_text_without_a_sentence_is_cut_in_bounded_pieces_without_loss(text: str) -> None:
    pieces = split([text[start : start + 512] for start in range(0, len(text), 512)])
    assert all(len(piece.text) <= MAX_SEGMENT_CHARS for piece in pieces)
    assert "".join("".join(piece.text.split()) for piece in pieces) == (
        "".join(text.split()) if speakable(text) else ""
    )
