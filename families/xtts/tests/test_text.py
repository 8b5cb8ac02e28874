"""Texts as XTTS reads them: seventeen languages, numbers in all of them, and long texts with all their words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_xtts import text as reading
from voiceplane_family_xtts.adapter import XttsAdapter
from voiceplane_worker.adapters.base import Piece

from families.xtts.tests.tiny import SPEAKERS, UNKNOWN, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_xtts.model import XttsModel
    from voiceplane_family_xtts.text import TextReader

GREETINGS = {
    "en": "Hello, how are you?",
    "es": "Hola, ¿cómo estás?",
    "fr": "Bonjour, ça va ?",
    "de": "Grüß dich, wie geht's?",
    "it": "Ciao, come stai?",
    "pt": "Olá, como está?",
    "pl": "Cześć, jak się masz?",
    "tr": "Merhaba, nasılsın?",
    "ru": "Привет, как дела?",
    "nl": "Hallo, hoe gaat het?",
    "cs": "Ahoj, jak se máš?",
    "ar": "مرحبا كيف حالك؟",
    "zh": "你好，你怎么样？",
    "hu": "Szia, hogy vagy?",
    "ko": "안녕하세요, 잘 지내세요?",
    "ja": "こんにちは、お元気ですか？",
    "hi": "नमस्ते, आप कैसे हैं?",
}
NUMBERS = [
    "3 of 12",
    "1.",
    "2nd",
    "3.14159",
    "$1,000,000.50 and 20€",
    "9" * 40,
    "$" + "9" * 400,
    "1" * 25 + ".5",
    "12:30",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XttsModel]:
    pack = pack_of_tiny(tmp_path_factory.mktemp("xtts") / "tiny", seed="5")
    model = XttsAdapter().load(pack, device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def reader(model: XttsModel) -> TextReader:
    return model._reader


def spoken(reader: TextReader, text: str, language: str = "en") -> list[str]:
    """What the tokens of each part say."""
    return [reader._tokenizer.decode(part.tokens) for part in reader.parts(text, language=language)]


def test_it_speaks_the_languages_of_its_configuration(reader: TextReader) -> None:
    assert set(reader.languages) == set(GREETINGS)


@pytest.mark.parametrize("language", GREETINGS)
def test_a_text_of_each_language_becomes_the_library_s_tokens_and_is_spoken(model: XttsModel, language: str) -> None:
    text = GREETINGS[language]
    (part,) = model._reader.parts(text, language=language)
    assert part.tokens == model._model.tokenizer.encode(text.lower(), lang=language)
    unknown = model._model.tokenizer.tokenizer.token_to_id(UNKNOWN)
    assert part.tokens.count(unknown) < 0.2 * len(part.tokens)
    piece = Piece(text=text, voice=SPEAKERS[0], language=language)
    assert sum(chunk.size for chunk in model.synthesize(piece)) > 0


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("火车在9点出发。", "zh", "[zh-cn]huo3che1zai4jiu3dian3chu1fa1,"),
        ("電車は九時に出ます。", "ja", "[ja]densha wa kyuu ji ni demasu."),
        ("기차", "ko", "[ko]gicha"),
        ("No. 12", "en-GB", "[en]no. twelve"),
    ],
)
def test_other_scripts_and_numbers_are_read_as_the_model_learnt_them(
    reader: TextReader, text: str, language: str, expected: str
) -> None:
    assert spoken(reader, text, language) == [expected]


@pytest.mark.parametrize("language", GREETINGS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_survived_in_every_language_and_read_out_somehow(
    reader: TextReader, language: str, number: str
) -> None:
    parts = spoken(reader, number, language)
    assert any(character.isalnum() for part in parts for character in part.partition("]")[2])


def test_numbers_that_the_library_can_t_read_are_read_digit_by_digit(reader: TextReader) -> None:
    assert spoken(reader, "14 घंटे", "hi") == ["[hi]एक चार घंटे"]
    assert spoken(reader, "1.", "cs") == ["[cs]jedna ."]


def test_marks_of_the_model_in_a_text_are_not_obeyed(reader: TextReader) -> None:
    assert spoken(reader, "One [STOP] two[de] three.") == ["[en]one stop two de three."]


@pytest.mark.parametrize("text", ["東京", "[]", "👍", "... —"])
def test_a_text_of_which_the_model_knows_nothing_is_not_spoken(reader: TextReader, text: str) -> None:
    assert spoken(reader, text) == []


def test_a_language_that_it_does_not_speak_is_named(model: XttsModel) -> None:
    with pytest.raises(VoiceplaneError, match="'sw': it speaks en, es") as caught:
        list(model.synthesize(Piece(text="Habari.", voice=SPEAKERS[0], language="sw")))
    assert caught.value.field == "language"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("This is a sentence of some length, and it has two clauses. " * 12, "en"),
        ("word " * 200, "en"),
        ("x" * 1_000, "en"),
        ("a" * 249 + " " + "b" * 249, "de"),
        ("我们坐火车去海边。" * 40, "zh"),
    ],
)
def test_no_word_of_a_long_text_is_lost(reader: TextReader, text: str, language: str) -> None:
    parts = list(reader.parts(text, language=language))
    assert len(parts) >= len(text) / reader._tokenizer.char_limits[language]
    assert all(len(part.tokens) <= 401 for part in parts)
    whole = reader._tokenizer.preprocess_text(text, language).replace(" ", "")
    said = "".join(reader._tokenizer.decode(part.tokens).partition("]")[2].replace(" ", "") for part in parts)
    assert said == whole


def test_numbers_that_are_long_when_read_out_are_parted_too(reader: TextReader) -> None:
    parts = list(reader.parts("777777 " * 30, language="en"))  # 209 characters, as words more than 401 tokens
    assert len(parts) > 1
    assert sum(reader._tokenizer.decode(part.tokens).count("thousand") for part in parts) == 30


def test_a_long_text_is_parted_after_a_sentence_rather_than_in_one() -> None:
    sentence, longer = "One two three four five six seven.", "Eight, nine, ten, eleven, twelve, thirteen."
    assert reading._halves(f"{sentence} {longer}") == (sentence, longer)
    assert reading._halves("one two three, four five") == ("one two three,", "four five")
    assert reading._halves("one two three four") == ("one two", "three four")
    assert reading._halves("abcdef") == ("abc", "def")


def test_all_parts_of_a_long_piece_are_heard(model: XttsModel) -> None:
    sentence = "This is a sentence of some length. "
    one, ten = (
        np.concatenate(list(model.synthesize(Piece(text=text.strip(), voice=SPEAKERS[0], language="en"))))
        for text in (sentence, sentence * 10)
    )
    assert ten.size == pytest.approx(10 * one.size, rel=0.1)


def test_the_library_for_sound_files_is_never_loaded(model: XttsModel) -> None:
    assert model.sample_rate_hz == 24_000
    assert "torchcodec" not in sys.modules
