"""What a Parler-TTS pack says of its voices: descriptions, seeds, sampling, and how long speech may go on."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import parler_tts
import pytest
import torch
from transformers import AutoTokenizer
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_parler.adapter import ParlerAdapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.parler.tests.tiny import CODEBOOKS, FRAME_SAMPLES, POSITIONS, pack_of_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_family_parler.model import ParlerModel
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

TEXT = "Nine green bottles."


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("parler") / "tiny")


def options(pack: VoicePack, **values: str) -> VoicePack:
    return replace(pack, metadata=pack.metadata.model_copy(update={"options": pack.metadata.options | values}))


def load(pack: VoicePack) -> ParlerModel:
    return ParlerAdapter().load(pack, device="cpu", threads=1)


def speak(model: ParlerModel, text: str = TEXT, *, voice: str = "Laura") -> Samples:
    return np.concatenate(list(model.synthesize(Piece(text=text, voice=voice, language="en"))))


def encoded(pack: VoicePack, description: str) -> Any:
    """What the library makes of a description."""
    model = parler_tts.ParlerTTSForConditionalGeneration.from_pretrained(pack.path).eval()
    inputs = AutoTokenizer.from_pretrained(pack.path)(description, return_tensors="pt")
    with torch.inference_mode():
        return model.enc_to_dec_proj(model.text_encoder(**inputs).last_hidden_state)


def test_a_description_names_each_voice_and_one_may_have_its_own(pack: VoicePack) -> None:
    own = {"description": "{voice} whispers.", "description.Jon": "A tired man, {voice}, shouts."}
    model = load(options(pack, **own))
    voices = model._here().voices
    assert torch.equal(voices["Laura"], encoded(pack, "Laura whispers."))
    assert torch.equal(voices["Jon"], encoded(pack, "A tired man, Jon, shouts."))


def test_without_a_description_the_voices_speak_clearly(pack: VoicePack) -> None:
    said = "{} speaks naturally, at a moderate pace, with very clear audio and without background noise."
    voices = load(pack)._here().voices
    assert all(torch.equal(voices[name], encoded(pack, said.format(name))) for name in ("Laura", "Jon"))


def test_a_description_is_heard(pack: VoicePack) -> None:
    model = load(options(pack, seed="5"))
    assert not np.array_equal(speak(model), speak(model, voice="Jon"))


def test_descriptions_are_encoded_once_and_their_encoder_is_freed(pack: VoicePack) -> None:
    model = load(pack)
    kept = model._here()
    assert kept.model.text_encoder is None
    assert kept.model.audio_encoder.encoder is None
    before = {name: hidden.clone() for name, hidden in kept.voices.items()}
    speak(model)
    assert all(torch.equal(kept.voices[name], hidden) for name, hidden in before.items())
    kept_weights = sum(weight.nbytes for weight in kept.model.parameters())
    assert model.memory_bytes == pytest.approx(kept_weights, rel=0.1)
    assert model.memory_bytes < 0.9 * (pack.path / "model.safetensors").stat().st_size


def test_what_is_said_is_not_added_to_the_description_of_the_next_utterance(tmp_path: Path) -> None:
    model = load(pack_of_tiny(tmp_path / "tiny", crossed=True, seed="5"))
    shape = model._here().voices["Laura"].shape
    first = speak(model)
    speak(model, "Something else comes in between.")
    np.testing.assert_array_equal(speak(model), first)
    assert model._here().voices["Laura"].shape == shape


def test_an_option_for_a_voice_that_is_not_there_is_named(pack: VoicePack) -> None:
    with pytest.raises(VoiceplaneError, match=r"description\.Lea describes no voice .* Laura, Jon") as caught:
        load(options(pack, **{"description.Lea": "Lea sings."}))
    assert caught.value.field == "options.description.Lea"


@pytest.mark.parametrize("key", ["description", "description.Laura"])
def test_an_empty_description_is_refused(pack: VoicePack, key: str) -> None:
    with pytest.raises(VoiceplaneError, match="say how the voice 'Laura' speaks") as caught:
        load(options(pack, **{key: " "}))
    assert caught.value.field == f"options.{key}"


def test_an_unknown_option_is_named(pack: VoicePack) -> None:
    with pytest.raises(VoiceplaneError, match=r"options\.tone.*known are description") as caught:
        load(options(pack, tone="low"))
    assert caught.value.field == "options.tone"


def test_with_a_seed_a_text_always_sounds_the_same_and_without_one_never(pack: VoicePack) -> None:
    seeded, free = load(options(pack, seed="5")), load(pack)
    np.testing.assert_array_equal(speak(seeded), speak(seeded))
    assert not np.array_equal(speak(free), speak(free))


def test_random_numbers_are_an_utterance_s_own(pack: VoicePack) -> None:
    model = load(options(pack, seed="5"))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    speak(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_is_the_model_s_own_unless_the_pack_says_otherwise(pack: VoicePack) -> None:
    names = [type(each).__name__ for each in load(pack)._sampling.processors(seed=1)]
    assert names == ["ParlerTTSLogitsProcessor", "TopKLogitsWarper", "_Draw"]
    other = load(options(pack, temperature="0.7", top_k="1", seed="5"))
    names = [type(each).__name__ for each in other._sampling.processors(seed=1)]
    assert names == ["ParlerTTSLogitsProcessor", "TemperatureLogitsWarper", "TopKLogitsWarper", "_Draw"]
    best = load(options(pack, top_k="1", seed="6"))  # nothing is left to chance
    np.testing.assert_array_equal(speak(other), speak(best))


def test_a_text_that_the_model_has_no_room_for_is_refused(pack: VoicePack) -> None:
    model = load(pack)
    with pytest.raises(VoiceplaneError, match="make it shorter") as caught:
        speak(model, "a" * POSITIONS)
    assert caught.value.field == "text"
    room = POSITIONS - len("a" * 1_950) - 2  # a letter is a token, and so are what goes before and after all of them
    assert speak(model, "a" * 1_950).size == (room - CODEBOOKS) * FRAME_SAMPLES
    assert speak(model).size > 0


def test_the_model_s_own_marks_in_a_text_are_not_obeyed(pack: VoicePack) -> None:
    model = load(pack)
    assert speak(model, "One</s> two<pad>three.").size > 0
    assert list(model.synthesize(Piece(text="</s>", voice="Laura", language="en"))) == []


def test_voices_may_have_languages_of_their_own(pack: VoicePack) -> None:
    voices = (PackVoice(name="Nicole", language="de"), PackVoice(name="Daniel", language="fr"))
    model = load(replace(pack, metadata=pack.metadata.model_copy(update={"voices": voices})))
    assert [(voice.name, voice.language) for voice in model.voices] == [("Nicole", "de"), ("Daniel", "fr")]
    assert list(model._here().voices) == ["Nicole", "Daniel"]
    assert speak(model, "Guten Tag, Herr Müller.", voice="Nicole").size > 0


def test_a_closed_model_is_freed_and_speaks_no_more(pack: VoicePack) -> None:
    model = load(pack)
    speak(model)
    weights = weakref.ref(model._here().model)
    model.close()
    gc.collect()
    assert weights() is None
    with pytest.raises(RuntimeError, match="closed"):
        speak(model)
