"""What an XTTS pack says of its voices: speakers, a recording to clone, seeds, and how long speech may go on."""

from __future__ import annotations

import wave
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from TTS.tts.models import xtts
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_xtts.adapter import XttsAdapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.xtts.tests.tiny import LATENT_S, RATE_HZ, SPEAKERS, pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_family_xtts.model import XttsModel
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

TEXT = "Nine green bottles."
CLONED = "Cloned"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("xtts") / "tiny")


def options(pack: VoicePack, **values: str) -> VoicePack:
    return replace(pack, metadata=pack.metadata.model_copy(update={"options": pack.metadata.options | values}))


def cloning(pack: VoicePack, folder: Path, *names: str) -> VoicePack:
    """The pack with a recording, and a voice of that, unless others are named."""
    voices = tuple(PackVoice(name=name, language="en") for name in names or (CLONED,))
    metadata = pack.metadata.model_copy(update={"voices": voices, "reference": "seed.wav"})
    for file in pack.path.iterdir():
        (folder / file.name).symlink_to(file)
    return options(replace(pack, path=folder, metadata=metadata), seed="5")


def write_wav(file: Path, *, rate_hz: int, seconds: float = 3.0, width: int = 2, level: int = 3_000) -> None:
    noise = np.random.default_rng(1).integers(-level, level + 1, round(rate_hz * seconds), dtype=np.int16)
    with wave.open(str(file), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(noise.tobytes())


def load(pack: VoicePack) -> XttsModel:
    return XttsAdapter().load(pack, device="cpu", threads=1)


def speak(model: XttsModel, text: str = TEXT, *, voice: str = SPEAKERS[0]) -> Samples:
    return np.concatenate(list(model.synthesize(Piece(text=text, voice=voice, language="en"))))


def test_with_a_seed_a_text_always_sounds_the_same_and_without_one_never(pack: VoicePack) -> None:
    seeded, free = load(options(pack, seed="5")), load(pack)
    np.testing.assert_array_equal(speak(seeded), speak(seeded))
    assert not np.array_equal(speak(free), speak(free))


def test_the_process_s_random_numbers_are_left_alone(pack: VoicePack) -> None:
    model = load(options(pack, seed="5"))
    state = torch.get_rng_state()
    speak(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_voices_are_the_model_s_speakers(pack: VoicePack) -> None:
    model = load(options(pack, seed="5"))
    first, second = (speak(model, voice=name) for name in SPEAKERS)
    assert not np.array_equal(first, second)


def test_a_speaker_that_the_model_does_not_have_is_named_with_some_that_it_has(pack: VoicePack) -> None:
    metadata = pack.metadata.model_copy(update={"voices": (PackVoice(name="Unknown", language="en"),)})
    error = refusal(XttsAdapter(), replace(pack, metadata=metadata))
    assert "no speaker 'Unknown', but Anna First, Bert Second" in error.message
    assert error.field == "voices"


def test_a_voice_in_a_language_that_the_model_does_not_speak_is_refused(pack: VoicePack) -> None:
    metadata = pack.metadata.model_copy(update={"voices": (PackVoice(name=SPEAKERS[0], language="sw-KE"),)})
    error = refusal(XttsAdapter(), replace(pack, metadata=metadata))
    assert "'Anna First' can't speak 'sw-KE': the model speaks en, es" in error.message
    assert error.field == "voices"


@pytest.mark.parametrize("rate_hz", [22_050, 16_000, 48_000])
def test_a_voice_is_cloned_from_a_recording_as_the_library_does_it(
    pack: VoicePack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: int
) -> None:
    write_wav(tmp_path / "seed.wav", rate_hz=rate_hz, seconds=9.0)
    given: list[torch.Tensor] = []
    embed = xtts.Xtts.get_speaker_embedding

    def noted(self: Any, audio: torch.Tensor, sr: int) -> torch.Tensor:
        given.append(audio)
        result: torch.Tensor = embed(self, audio, sr)
        return result

    monkeypatch.setattr(xtts.Xtts, "get_speaker_embedding", noted)
    model = load(cloning(pack, tmp_path))
    (audio,) = given  # once, when it is loaded
    assert audio.shape[1] == 9 * 22_050
    monkeypatch.setattr(xtts, "load_audio", lambda _path, _rate: audio.clone())
    library, config = model._model, model._model.config
    latent, embedding = library.get_conditioning_latents(
        "seed.wav",
        max_ref_length=config.max_ref_len,
        gpt_cond_len=config.gpt_cond_len,
        gpt_cond_chunk_len=config.gpt_cond_chunk_len,
        sound_norm_refs=config.sound_norm_refs,
    )
    torch.testing.assert_close(model._voices[CLONED].latent, latent)
    torch.testing.assert_close(model._voices[CLONED].embedding, embedding)
    assert not np.array_equal(speak(model, voice=CLONED), speak(load(options(pack, seed="5"))))
    assert len(given) == 2  # the library's, and none for speech


def test_a_cloned_voice_needs_no_speakers_file(pack: VoicePack, tmp_path: Path) -> None:
    write_wav(tmp_path / "seed.wav", rate_hz=RATE_HZ)
    alone = cloning(pack, tmp_path)
    (tmp_path / "speakers_xtts.pth").unlink()
    assert speak(load(alone), voice=CLONED).size > 0


def test_a_recording_is_one_voice_s(pack: VoicePack, tmp_path: Path) -> None:
    write_wav(tmp_path / "seed.wav", rate_hz=RATE_HZ)
    assert "name one voice only" in refusal(XttsAdapter(), cloning(pack, tmp_path, "one", "two")).message


@pytest.mark.parametrize(
    ("recording", "problem"),
    [
        ({"seconds": 0.2}, "too short"),
        ({"level": 0}, "silent"),
        ({"width": 1}, "16-bit"),
    ],
)
def test_a_recording_that_no_voice_can_be_cloned_from_is_refused(
    pack: VoicePack, tmp_path: Path, recording: dict[str, Any], problem: str
) -> None:
    write_wav(tmp_path / "seed.wav", rate_hz=RATE_HZ, **recording)
    error = refusal(XttsAdapter(), cloning(pack, tmp_path))
    assert problem in error.message
    assert error.field == "reference"


def test_speech_that_never_ends_is_ended(pack: VoicePack) -> None:
    model = load(options(pack, longest_ms_per_character="20", longest_ms_besides="100"))
    assert speak(model, "a" * 25).size / RATE_HZ == pytest.approx(13 * LATENT_S, rel=0.02)  # 600 ms begin 13 latents


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "repetition_penalty"])
def test_the_sampling_is_the_configuration_s_unless_the_pack_says_otherwise(pack: VoicePack, name: str) -> None:
    model = load(options(pack, seed="5"))
    assert getattr(model._sampling, name) == getattr(model._model.config, name)
    other = load(options(pack, seed="5", **{name: "1"}))
    assert getattr(other._sampling, name) == 1
    assert not np.array_equal(speak(model), speak(other))


def test_an_unknown_option_is_named(pack: VoicePack) -> None:
    error = refusal(XttsAdapter(), options(pack, tone="low"))
    assert "options.tone" in error.message
    assert "known are temperature" in error.message
    assert error.field == "options.tone"


def test_a_closed_model_does_not_speak(pack: VoicePack) -> None:
    model = load(pack)
    model.close()
    with pytest.raises(VoiceplaneError, match="unknown voice"):
        speak(model)
