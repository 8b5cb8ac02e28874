"""The Kokoro family's own traps: its phonemizer, its limit of tokens, its silences, and packs that can't be loaded."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import onnx
import pytest
from kokoro_onnx.config import DEFAULT_VOCAB, MAX_PHONEME_LENGTH
from onnx import helper
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_kokoro import adapter as kokoro
from voiceplane_family_kokoro.adapter import STEP_PHONEMES, KokoroAdapter, KokoroModel
from voiceplane_family_kokoro.phonemes import ESPEAK_LANGUAGES, phonemes_of
from voiceplane_family_kokoro.trimming import trim
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.kokoro.tests.packs import kokoro_pack
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

RATE_HZ = 24_000
SENTENCE = "The train to the coast leaves at noon from platform nine, and it is never late."
LONG = "The committee met on Monday and talked about the harbour, the bridge and the new road to the airport. " * 12


class FakeSession:
    """Takes what the model takes, and gives a sound between two silences; remembers what it was given."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, Any]] = []

    def get_inputs(self) -> list[Any]:
        return [helper.make_tensor_value_info(name, 1, None) for name in ("input_ids", "style", "speed")]

    def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
        assert names is None
        self.feeds.append(feeds)
        quiet, tone = np.zeros(6_000, np.float32), np.sin(np.arange(12_000, dtype=np.float32))
        return [np.concatenate([quiet, 1.2 * tone, quiet, quiet])]


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def model(session: FakeSession) -> KokoroModel:
    styles = np.arange(510, dtype=np.float32)[:, np.newaxis] * np.ones(256, np.float32)
    return KokoroModel(session, styles={"v": styles}, voices=(), memory_bytes=1)


@pytest.fixture(scope="module")
def real() -> Iterator[KokoroModel]:
    model = KokoroAdapter().load(kokoro_pack(), device="cpu", threads=1)
    yield model
    model.close()


def piece(text: str, *, voice: str = "v", language: str = "en-US", speed: float = 1.0) -> Piece:
    return Piece(text=text, voice=voice, language=language, speed=speed)


def spoken_by(session: FakeSession) -> str:
    """The phonemes that a session was given, without the spaces at which they may have been split."""
    symbols = {number: symbol for symbol, number in DEFAULT_VOCAB.items()}
    ids = [number for feeds in session.feeds for number in feeds["input_ids"][0][1:-1]]
    return "".join(symbols[number] for number in ids).replace(" ", "")


# Phonemes


def test_a_text_becomes_phonemes_of_the_models_vocabulary_with_its_punctuation() -> None:
    assert phonemes_of("Hello there, how are you?", language="en-US") == "həlˈoʊ ðˈɛɹ, hˈaʊ ɑːɹ juː?"


def test_british_and_american_english_differ() -> None:
    assert phonemes_of("bath water", language="en-GB") != phonemes_of("bath water", language="en-US")


@pytest.mark.parametrize(("tag", "same"), [("en-AU", "en"), ("pt-BR", "pt"), ("fr_CA", "fr"), ("EN-gb", "en-GB")])
def test_a_tag_is_read_as_its_primary_language_unless_it_is_known_itself(tag: str, same: str) -> None:
    text = "La table, water, o menino"
    assert phonemes_of(text, language=tag) == phonemes_of(text, language=same)


@pytest.mark.parametrize("language", ["ja", "zh-CN", "de", ""])
def test_a_language_without_phonemes_is_refused_with_those_that_have_them(language: str) -> None:
    with pytest.raises(VoiceplaneError, match="it reads en, es, fr, hi, it, pt") as caught:
        phonemes_of("Hello.", language=language)
    assert (caught.value.code, caught.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "language")


def test_words_of_another_language_bring_no_marks_that_would_be_read_out() -> None:
    spoken = phonemes_of("The restaurant is called déjà vu 東京, they say.", language="fr")
    assert not re.search(r"\((?:en|fr|ja|cmn)", spoken)
    assert "(" not in spoken


@pytest.mark.parametrize("text", ["one\ntwo\n\nthree", "one\0two\0three", " one \t two  three "])
def test_lines_and_nuls_do_not_end_a_text(text: str) -> None:
    assert phonemes_of(text, language="en-US") == phonemes_of("one two three", language="en-US")


def test_phonemes_are_the_same_when_many_threads_ask_at_once() -> None:
    asked = [(f"{text} {number}", language) for number in range(40) for text, language in (
        ("The weather will be cold on Thursday", "en-US"), ("Water the plants", "en-GB"), ("La table est bleue", "fr"),
    )]  # fmt: skip
    alone = {each: phonemes_of(each[0], language=each[1]) for each in asked}
    together: dict[tuple[str, str], str] = {}
    barrier = threading.Barrier(4)

    def ask(mine: list[tuple[str, str]]) -> None:
        barrier.wait()
        for each in mine:
            together[each] = phonemes_of(each[0], language=each[1])

    threads = [threading.Thread(target=ask, args=(asked[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_every_language_of_the_table_can_be_read() -> None:
    assert all(phonemes_of("1 2 3", language=language) for language in ESPEAK_LANGUAGES)


# Steps


def test_a_long_piece_is_split_and_every_phoneme_is_spoken(model: KokoroModel, session: FakeSession) -> None:
    phonemes = phonemes_of(LONG, language="en-US")
    assert len(phonemes) > MAX_PHONEME_LENGTH
    chunks = list(model.synthesize(piece(LONG)))
    given = [feeds["input_ids"][0].tolist() for feeds in session.feeds]
    assert len(chunks) == len(given) > 1
    assert all(len(ids) <= STEP_PHONEMES + 2 for ids in given)
    assert all((ids[0], ids[-1]) == (0, 0) for ids in given)
    assert spoken_by(session) == phonemes.replace(" ", "")


def test_one_word_that_never_ends_is_spoken_to_its_end(model: KokoroModel, session: FakeSession) -> None:
    text = "ba" * 400
    list(model.synthesize(piece(text)))
    assert spoken_by(session) == phonemes_of(text, language="en-US").replace(" ", "")


def test_a_step_is_computed_only_when_it_is_asked_for(model: KokoroModel, session: FakeSession) -> None:
    chunks = model.synthesize(piece(LONG))
    next(chunks)
    assert len(session.feeds) == 1


def test_the_style_is_that_of_the_number_of_phonemes(model: KokoroModel, session: FakeSession) -> None:
    for text in ("Hello.", SENTENCE):
        list(model.synthesize(piece(text)))
        ids = session.feeds[-1]["input_ids"][0]
        assert session.feeds[-1]["style"].shape == (1, 256)
        assert session.feeds[-1]["style"][0, 0] == len(ids) - 2 - 1


def test_speed_reaches_the_model(model: KokoroModel, session: FakeSession) -> None:
    list(model.synthesize(piece("Hello.", speed=1.25)))
    assert session.feeds[0]["speed"].tolist() == [1.25]


def test_samples_beyond_full_scale_are_held_to_it(model: KokoroModel) -> None:
    (chunk,) = model.synthesize(piece("Hello."))
    assert np.abs(chunk).max() == 1.0


def test_a_closed_model_says_so(model: KokoroModel) -> None:
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        list(model.synthesize(piece("Hello.")))


# Silence


def silent(seconds: float) -> np.ndarray[Any, Any]:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


@pytest.mark.parametrize(("phonemes", "pause_s"), [("a.", 0.25), ("a,", 0.1), ("a", 0.0)])
@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_silence_is_cut_to_the_pause_that_the_last_mark_asks_for(phonemes: str, pause_s: float, speed: float) -> None:
    tone = np.sin(np.arange(RATE_HZ, dtype=np.float32))
    audio = np.concatenate([silent(0.3), tone, silent(0.7)])
    trimmed = trim(audio, phonemes, sample_rate_hz=RATE_HZ, speed=speed)
    left = trimmed.size / RATE_HZ - 1.0
    assert left == pytest.approx(0.04 + 0.06 + pause_s / speed, abs=0.011)
    assert np.abs(trimmed[: round(0.03 * RATE_HZ)]).max() == 0.0
    assert np.abs(trimmed[round(0.06 * RATE_HZ) :]).max() > 0.9


def test_silence_between_words_stays() -> None:
    tone = np.sin(np.arange(RATE_HZ // 4, dtype=np.float32))
    audio = np.concatenate([tone, silent(1.0), tone])
    assert trim(audio, "a", sample_rate_hz=RATE_HZ, speed=1.0).size >= audio.size


def test_audio_without_a_sound_is_left_alone() -> None:
    assert trim(silent(0.5), "a", sample_rate_hz=RATE_HZ, speed=1.0).size == RATE_HZ // 2
    assert trim(silent(0.0), "a", sample_rate_hz=RATE_HZ, speed=1.0).size == 0


def test_next_to_nothing_of_real_speech_is_cut_off(real: KokoroModel, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = np.concatenate(list(real.synthesize(piece("Five fish fry.", voice="jf_tebukuro"))))
    monkeypatch.setattr(kokoro, "trim", lambda audio, *_, **__: audio)
    whole = np.concatenate(list(real.synthesize(piece("Five fish fry.", voice="jf_tebukuro"))))
    assert whole.size - heard.size > 0.4 * RATE_HZ
    assert np.sum(whole**2) - np.sum(heard**2) < 1e-4 * np.sum(whole**2)


def test_voices_differ(real: KokoroModel) -> None:
    one, other = (
        np.concatenate(list(real.synthesize(piece("Hello there.", voice=name)))) for name in ("jf_tebukuro", "jm_kumo")
    )
    assert one.size != other.size or not np.allclose(one, other, atol=0.01)


# Packs


def load_error(pack: VoicePack) -> VoiceplaneError:
    return refusal(KokoroAdapter(), pack)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in kokoro_pack().path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def replaced(folder: Path, name: str, content: bytes) -> VoicePack:
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    return kokoro_pack(folder)


@pytest.mark.parametrize("role", ["model", "voices"])
def test_a_missing_file_is_named(folder: Path, role: str) -> None:
    name = kokoro_pack().metadata.files[role]
    (folder / name).unlink()
    assert f"{name} is missing" in load_error(kokoro_pack(folder)).message


@pytest.mark.parametrize("role", ["model", "voices"])
def test_a_role_that_the_pack_does_not_name_is_a_field(role: str) -> None:
    files = {name: file for name, file in kokoro_pack().metadata.files.items() if name != role}
    assert load_error(kokoro_pack(files=files)).field == f"files.{role}"


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_broken_model_is_named(folder: Path, content: bytes) -> None:
    error = load_error(replaced(folder, "kokoro-v1.0.int8.onnx", content))
    assert "kokoro-v1.0.int8.onnx can't be run" in error.message


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"x": onnx.TensorProto.FLOAT}, "takes x tensor(float)"),
        ({"tokens": 7, "style": 1, "speed": 6}, "speed tensor(int32)"),
    ],
)
def test_another_model_is_refused_with_what_it_takes(folder: Path, inputs: dict[str, int], found: str) -> None:
    values = [helper.make_tensor_value_info(name, kind, [1]) for name, kind in inputs.items()]
    graph = helper.make_graph(
        [helper.make_node("Identity", [values[0].name], ["y"])],
        "other",
        values,
        [helper.make_tensor_value_info("y", values[0].type.tensor_type.elem_type, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    error = load_error(replaced(folder, "kokoro-v1.0.int8.onnx", model.SerializeToString()))
    assert found in error.message
    assert "speed (float)" in error.message


def npz(folder: Path, **arrays: Any) -> bytes:
    np.savez(folder / "made.npz", **arrays)
    return (folder / "made.npz").read_bytes()


def test_a_voice_that_the_file_does_not_have_is_named() -> None:
    error = load_error(kokoro_pack(voices=(PackVoice(name="af_heart", language="en-US"),)))
    assert "has no voice 'af_heart'" in error.message
    assert "jf_alpha" in error.message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"\x80\x04K\x01."])
def test_a_file_that_holds_no_voices_is_named(folder: Path, content: bytes) -> None:
    assert "voices_ja.npz is not an npz of voices" in load_error(replaced(folder, "voices_ja.npz", content)).message


def test_a_pickle_in_the_voices_is_not_run(folder: Path, tmp_path: Path) -> None:
    names = [voice.name for voice in kokoro_pack().metadata.voices]
    content = npz(tmp_path, **dict.fromkeys(names, np.array([{"a": 1}], dtype=object)))
    pack = replaced(folder, "voices_ja.npz", content)
    assert "is not an npz of voices" in load_error(pack).message


def test_a_voice_of_another_shape_is_named(folder: Path, tmp_path: Path) -> None:
    names = [voice.name for voice in kokoro_pack().metadata.voices]
    content = npz(tmp_path, **dict.fromkeys(names, np.zeros((510, 1, 128), np.float32)))
    assert "(510, 1, 128)" in load_error(replaced(folder, "voices_ja.npz", content)).message


def test_a_voice_of_a_language_that_can_not_be_read_fails_the_load_and_not_the_first_listener() -> None:
    error = load_error(kokoro_pack(voices=(PackVoice(name="jf_alpha", language="ja"),)))
    assert error.field == "voices"
    assert "'jf_alpha'" in error.message
    assert "'ja'" in error.message
