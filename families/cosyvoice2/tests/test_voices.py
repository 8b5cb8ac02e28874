"""What a CosyVoice 2 pack says of its voices: recordings to clone, speakers, instructions, languages, seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_cosyvoice2 import frontend, library
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_family_kit import onnx_session
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.cosyvoice2.tests.tiny import CODES, SPEAKER_SIZE, TOKEN_SAMPLES, pack_of_tiny, write_wav
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voiceplane_family_cosyvoice2.model import CosyVoice2Model
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

    Load = Callable[[VoicePack], CosyVoice2Model]

TEXT = "Nine green bottles."
SAID = "This is what I sound like."


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("cosyvoice2") / "tiny", seed="5")


@pytest.fixture
def load() -> Iterator[Load]:
    loaded: list[CosyVoice2Model] = []

    def load(pack: VoicePack) -> CosyVoice2Model:
        loaded.append(CosyVoice2Adapter().load(pack, device="cpu", threads=1))
        return loaded[-1]

    yield load
    for model in loaded:
        model.close()


def options(pack: VoicePack, **values: str) -> VoicePack:
    return replace(pack, metadata=pack.metadata.model_copy(update={"options": pack.metadata.options | values}))


def cloning(pack: VoicePack, folder: Path, *, seconds: float = 1.0, **values: str) -> VoicePack:
    """The pack with one voice and a recording, and without speakers."""
    metadata = pack.metadata.model_copy(
        update={"voices": (PackVoice(name="first", language="en"),), "reference": "seed.wav"}
    )
    for file in pack.path.iterdir():
        if file.name != "spk2info.pt":
            (folder / file.name).symlink_to(file)
    write_wav(folder / "seed.wav", seconds=seconds)
    return options(replace(pack, path=folder, metadata=metadata), **values)


def speak(model: CosyVoice2Model, text: str = TEXT, *, voice: str = "first") -> Samples:
    return np.concatenate(list(model.synthesize(Piece(text=text, voice=voice, language="en"))))


def test_with_a_seed_a_text_always_sounds_the_same_and_without_one_never(pack: VoicePack, load: Load) -> None:
    seeded = load(pack)
    np.testing.assert_array_equal(speak(seeded), speak(seeded))
    values = {name: value for name, value in pack.metadata.options.items() if name != "seed"}
    free = load(replace(pack, metadata=pack.metadata.model_copy(update={"options": values})))
    assert not np.array_equal(speak(free), speak(free))


def test_speakers_of_the_file_sound_different(pack: VoicePack, load: Load) -> None:
    model = load(pack)
    assert not np.array_equal(speak(model), speak(model, voice="second"))
    assert all(prompt.tokens.shape[1] == 0 for prompt in model._prompts.values())


def test_a_recording_becomes_tokens_frames_and_an_embedding(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    model = load(cloning(pack, tmp_path, seconds=2.0, reference_text=SAID))
    assert model._parts is not None
    prompt = model._prompts["first"]
    assert prompt.text.tolist() == [model._parts.tokenizer.encode(SAID)]
    assert prompt.said.shape == prompt.tokens.shape == (1, 50)
    assert prompt.frames.shape == (1, 100, 80)
    assert prompt.embedding.shape == (1, SPEAKER_SIZE)
    assert speak(model).size > 10 * TOKEN_SAMPLES


def test_without_its_text_a_recording_is_heard_by_the_flow_alone(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    prompt = load(cloning(pack, tmp_path))._prompts["first"]
    assert prompt.text.shape == prompt.said.shape == (1, 0)
    assert prompt.tokens.shape == (1, 25)


def test_another_recording_is_another_voice(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    models = [load(cloning(pack, one, seconds=1.0)), load(cloning(pack, other, seconds=1.5))]
    assert not np.array_equal(speak(models[0]), speak(models[1]))


def test_a_recording_is_listened_to_once(
    pack: VoicePack, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_session = onnx_session.open_session

    def noted(model: str, *, device: str, threads: int) -> object:
        opened.append(model.rpartition("/")[2])
        return open_session(model, device=device, threads=threads)

    monkeypatch.setattr(frontend, "open_session", noted)
    model = load(cloning(pack, tmp_path, reference_text=SAID))
    for _ in range(2):
        speak(model)
    assert opened == [frontend.TOKENIZER, frontend.EMBEDDER]


def test_filters_of_another_model_are_not_taken_for_this_ones(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    before = load(cloning(pack, first))._prompts["first"].frames
    others = {"n_fft": 1024, "num_mels": 80, "sampling_rate": 16_000, "hop_size": 256, "win_size": 1024}
    library.matcha_audio.mel_basis.clear()
    library.matcha_audio.mel_spectrogram(torch.zeros(1, 8_000), **others, fmin=0, fmax=8000)
    assert torch.equal(load(cloning(pack, second))._prompts["first"].frames, before)


@pytest.mark.parametrize(("seconds", "message"), [(0.3, "0.3 s must have 0.5 to 30 s"), (31.0, "31.0 s must have")])
def test_a_recording_of_no_use_is_refused(pack: VoicePack, tmp_path: Path, seconds: float, message: str) -> None:
    error = refusal(CosyVoice2Adapter(), cloning(pack, tmp_path, seconds=seconds))
    assert message in error.message
    assert error.field == "reference"


@pytest.mark.parametrize("name", ["campplus.onnx", "speech_tokenizer_v2.onnx"])
def test_a_front_end_that_is_missing_or_broken_is_named(pack: VoicePack, tmp_path: Path, name: str) -> None:
    broken = cloning(pack, tmp_path)
    (tmp_path / name).unlink()
    assert f"{name} is missing" in refusal(CosyVoice2Adapter(), broken).message
    (tmp_path / name).write_bytes(b"no graph")
    assert f"{name} can't be run" in refusal(CosyVoice2Adapter(), broken).message


def test_speech_can_be_instructed(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    model = load(cloning(pack, tmp_path, reference_text=SAID, instruct_text="Speak softly."))
    assert model._parts is not None
    prompt = model._prompts["first"]
    assert prompt.text.tolist() == [model._parts.tokenizer.encode("Speak softly.<|endofprompt|>")]
    assert prompt.said.shape == (1, 0)
    assert prompt.tokens.shape == (1, 25)
    assert speak(model).size > 0


def test_all_that_the_library_saves_of_a_cloned_speaker_is_used(pack: VoicePack, tmp_path: Path, load: Load) -> None:
    cloned = cloning(pack, tmp_path, reference_text=SAID)
    prompt = load(cloned)._prompts["first"]
    saved = {
        "prompt_text": prompt.text,
        "llm_prompt_speech_token": prompt.said,
        "flow_prompt_speech_token": prompt.tokens,
        "prompt_speech_feat": prompt.frames,
        "llm_embedding": prompt.embedding,
        "flow_embedding": prompt.embedding,
    }
    torch.save({"first": saved}, tmp_path / "spk2info.pt")
    metadata = cloned.metadata.model_copy(update={"reference": None, "options": pack.metadata.options})
    again = load(replace(cloned, metadata=metadata))
    np.testing.assert_array_equal(speak(again), speak(load(cloned)))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"flow_prompt_speech_token": torch.tensor([[1, CODES]])}, f"does not know: it has {CODES}"),
        ({"llm_prompt_speech_token": torch.tensor([[-1]])}, f"does not know: it has {CODES}"),
        ({"flow_prompt_speech_token": torch.tensor([[1, 2]])}, "2 speech tokens and mel frames of (1, 0, 80)"),
        ({"prompt_speech_feat": torch.zeros(1, 2, 80)}, "0 speech tokens and mel frames of (1, 2, 80)"),
    ],
)
def test_a_speaker_that_does_not_fit_is_refused_at_the_load(
    pack: VoicePack, tmp_path: Path, saved: dict[str, torch.Tensor], message: str
) -> None:
    broken = cloning(pack, tmp_path)
    torch.save({"first": {"embedding": torch.zeros(1, SPEAKER_SIZE)} | saved}, tmp_path / "spk2info.pt")
    broken = replace(broken, metadata=broken.metadata.model_copy(update={"reference": None}))
    assert message in refusal(CosyVoice2Adapter(), broken).message


def test_an_embedding_of_another_size_is_refused(pack: VoicePack, tmp_path: Path) -> None:
    broken = cloning(pack, tmp_path)
    torch.save({"first": {"embedding": torch.zeros(1, 7)}}, tmp_path / "spk2info.pt")
    broken = replace(broken, metadata=broken.metadata.model_copy(update={"reference": None}))
    assert "'first' has an embedding of (1, 7), not of (1, 192)" in refusal(CosyVoice2Adapter(), broken).message


def test_a_voice_that_could_sound_like_nothing_is_refused_unless_the_average_will_do(
    pack: VoicePack, tmp_path: Path, load: Load
) -> None:
    silent = cloning(pack, tmp_path)
    silent = replace(silent, metadata=silent.metadata.model_copy(update={"reference": None}))
    error = refusal(CosyVoice2Adapter(), silent)
    assert error.field == "reference"
    assert "set options.average_voice" in error.message
    assert speak(load(options(silent, average_voice="true"))).size > 0


def test_a_voice_of_a_language_that_the_weights_do_not_speak_is_refused(pack: VoicePack, load: Load) -> None:
    voices = (PackVoice(name="first", language="de-DE"),)
    german = replace(pack, metadata=pack.metadata.model_copy(update={"voices": voices}))
    error = refusal(CosyVoice2Adapter(), german)
    assert error.field == "voices"
    assert "voice 'first' speaks 'de-DE', and the weights only zh, yue, en, ja, ko" in error.message
    assert load(options(german, languages="de, fr")).voices[0].language == "de-DE"


def test_marks_of_the_model_are_not_the_texts_to_say(pack: VoicePack, load: Load) -> None:
    model = load(pack)
    np.testing.assert_array_equal(speak(model, "Be<|endofprompt|>gin."), speak(model, "Be gin."))
    assert not np.array_equal(speak(model, "Begin [laughter]."), speak(model, "Begin."))


def test_speech_that_has_lost_its_way_is_ended(pack: VoicePack, load: Load) -> None:
    model = load(options(pack, longest_ms_per_character="0.001", longest_ms_besides="200"))
    assert speak(model).size == 6 * TOKEN_SAMPLES  # 200 ms and a little, rounded up to tokens


def test_an_unknown_option_is_named_with_the_known_ones(pack: VoicePack) -> None:
    error = refusal(CosyVoice2Adapter(), options(pack, load_jit="true"))
    assert error.field == "options.load_jit"
    assert "instruct_text" in error.message
