"""MeloTTS's languages: each is read with what the pack and the libraries bring, and nothing is fetched."""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_melo.adapter import MeloAdapter
from voiceplane_family_melo.text import MOST_CHARACTERS, parts_of, plain
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.melo.tests.tiny import FEATURES, pack_of_tiny, write_bert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_melo.model import MeloModel
    from voiceplane_family_melo.text import Reading
    from voiceplane_worker.packs.pack import VoicePack

TEXTS = {
    "en-US": "Hello, the Zorblax train costs $2.50 at 14:05!",
    "es-MX": "¡Hola! El tren sale a las 12, ¿verdad?",
    "fr": "Bonjour, le train n'est pas là.",
    "zh-CN": "我们今天去学习machine learning，安装完成100个。",
    "ja": "こんにちは、今日は3時に東京へ行きます。",
    "ko": "안녕하세요, 오늘은 날씨가 hello 좋습니다.",
}
UNUSUAL = ("#1 is it", "1️⃣ 🙂 [x] % — …", "東京 naïve été 한국", "12345678901234567890", "x" * 300, "iPhone's")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("something wants to go to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    """A pack of one speaker, whose name does not matter."""
    return pack_of_tiny(tmp_path_factory.mktemp("melo") / "tiny", speakers={"ONE": 0}, seed="5")


@pytest.fixture(scope="module")
def japanese_pack(pack: VoicePack, tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    """The same with the tokenizer of Japanese BERTs."""
    folder = shutil.copytree(pack.path, tmp_path_factory.mktemp("melo") / "japanese")
    write_bert(folder / "bert", japanese=True)
    return replace(pack, path=folder)


@pytest.fixture(scope="module")
def english(pack: VoicePack) -> Iterator[MeloModel]:
    model = load(pack, "en-US")
    yield model
    model.close()


def load(pack: VoicePack, language: str, **options: str) -> MeloModel:
    voices = (PackVoice(name="anyone", language=language),)
    changes = {"voices": voices, "options": pack.metadata.options | options}
    changed = replace(pack, metadata=pack.metadata.model_copy(update=changes))
    return MeloAdapter().load(changed, device="cpu", threads=1)


def speak(model: MeloModel, text: str) -> Any:
    chunks = list(model.synthesize(Piece(text=text, voice="anyone", language=model.voices[0].language)))
    return np.concatenate(chunks) if chunks else np.zeros(0)


def read(model: MeloModel, text: str) -> Reading:
    assert model._reader
    reading = model._reader.read(plain(text))
    assert reading
    return reading


def sounds(model: MeloModel, text: str) -> str:
    """The sounds of a text without the blanks."""
    assert model._reader
    names = {number: name for name, number in model._reader._numbers.items()}
    return " ".join(names[number] for number in read(model, text).sounds.tolist()[3:-3:2])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bert", ["true", "false"])
@pytest.mark.parametrize("language", TEXTS)
def test_a_language_is_spoken_without_the_network(
    pack: VoicePack, japanese_pack: VoicePack, language: str, bert: str
) -> None:
    model = load(japanese_pack if language == "ja" else pack, language, bert=bert)
    assert 1.0 < speak(model, TEXTS[language]).size / model.sample_rate_hz < 8.0
    for text in UNUSUAL:
        assert np.isfinite(speak(model, text)).all()
    model.close()


def test_words_are_spoken_by_the_dictionary_and_others_by_their_letters(english: MeloModel) -> None:
    assert sounds(english, "The train.") == "dh ah t r ey n ."
    assert sounds(english, "$2.50") == sounds(english, "Two dollars fifty cents")
    assert sounds(english, "zorblax").startswith("z ")


def test_what_bert_can_t_read_is_not_spoken_as_a_word(english: MeloModel) -> None:
    assert english._reader
    assert "[UNK]" in english._reader._tokenizer.tokenize("ŧ")
    assert sounds(english, "Hello ŧ there.") == sounds(english, "Hello there.")


def test_invisible_characters_do_not_part_a_word(english: MeloModel) -> None:
    assert sounds(english, "tr\u00adain 🙂 coast") == sounds(english, "train coast")


def test_a_leading_hash_does_not_end_the_speech(english: MeloModel) -> None:
    assert sounds(english, "#1 is it") == sounds(english, "1 is it")


def test_bert_s_features_are_those_that_the_library_takes(
    english: MeloModel, pack: VoicePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert english._network
    bert = english._network._bert
    assert bert
    monkeypatch.setattr(transformers, "AutoTokenizer", SimpleNamespace(from_pretrained=lambda _: bert.tokenizer))
    library = importlib.import_module("melo.text.english_bert")
    whole = AutoModelForMaskedLM.from_pretrained(pack.path / "bert", dtype=torch.float32).eval()
    monkeypatch.setattr(library, "model", whole)
    reading = read(english, TEXTS["en-US"])
    with torch.inference_mode():
        ours = reading.features(bert, size=FEATURES, device=torch.device("cpu"))
    normal = importlib.import_module("melo.text.english").text_normalize(TEXTS["en-US"])
    theirs = library.get_bert_feature(normal, reading.counts.tolist(), device="cpu")
    assert whole.config.num_hidden_layers == bert.network.config.num_hidden_layers + 2
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_bert_changes_how_a_text_is_spoken(pack: VoicePack, english: MeloModel) -> None:
    without = load(pack, "en-US", bert="false")
    assert without.memory_bytes < english.memory_bytes
    assert not np.array_equal(speak(without, "Hello there."), speak(english, "Hello there."))
    without.close()


def test_a_dictionary_serves_every_thread(pack: VoicePack) -> None:
    model = load(pack, "es", bert="false")
    heard: list[str] = []
    threads = [threading.Thread(target=lambda: heard.append(sounds(model, "hola mañana"))) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert heard == ["ˈ o l a m a ɲ ˈ a n a ."] * 3
    model.close()


def test_a_long_text_is_spoken_in_parts_and_all_of_it(english: MeloModel) -> None:
    sentence = "The train to the coast leaves at noon, and it is never late. "
    parts = list(parts_of(plain(sentence * 9)))
    assert len(parts) > 2
    assert all(len(part) <= MOST_CHARACTERS and part.endswith("late.") for part in parts)
    assert " ".join(parts) == plain(sentence * 9)
    assert sum(part.split().count("3.14") for part in parts_of("It costs 3.14 euros " * 20)) == 20
    assert list(parts_of("x" * 600)) == ["x" * 250, "x" * 250, "x" * 100]
    assert speak(english, sentence * 9).size > 7 * speak(english, sentence).size


def test_a_text_with_more_tokens_than_bert_has_places_is_spoken(
    english: MeloModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert english._network
    assert english._network._bert
    monkeypatch.setattr(english._network._bert.network.config, "max_position_embeddings", 12)
    assert speak(english, "The train to the coast leaves at noon from platform nine.").size > english.sample_rate_hz


def test_a_text_that_the_library_can_t_read_is_refused(english: MeloModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> NoReturn:
        raise AssertionError("no such sound")

    assert english._reader
    monkeypatch.setattr(english._reader._module, "text_normalize", fail)
    with pytest.raises(VoiceplaneError, match="can't be read as EN: no such sound") as caught:
        speak(english, "Hello.")
    assert caught.value.field == "text"


@pytest.mark.timeout(300)
def test_english_brings_in_nothing_of_other_languages_and_of_training() -> None:
    code = """
        import socket, sys
        socket.socket.connect = socket.getaddrinfo = None
        from voiceplane_family_melo.library import LANGUAGES, synthesizer_class, text_module
        synthesizer_class(), text_module(LANGUAGES["en"])
        print(*sys.modules)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"melo.models", "melo.text.english"} <= loaded
    unwanted = {
        "melo.text.japanese",
        "melo.text.chinese_mix",
        "melo.text.spanish",
        "pykakasi",
        "jieba",
        "gruut",
        "mecab",
    }
    assert loaded.isdisjoint(unwanted | {"melo.monotonic_align", "numba", "librosa", "torchaudio", "melo.utils"})
