"""What a declaration leaves of a model's voices and languages, and what a session can ask for then."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.voice_catalog import VoiceCatalog, expected_voice_catalog, voice_catalog_of
from voiceplane_worker.sessions.requests import SessionRequest

LOW, HIGH, EVA = (Voice(name=name, language=tag) for name, tag in (("low", "en-US"), ("high", "en-GB"), ("eva", "de")))
PACK = (LOW, HIGH, EVA)


def declared(*voices: tuple[str, str], languages: tuple[str, ...] = ()) -> ModelSpec:
    named = tuple(Voice(name=name, language=language) for name, language in voices)
    return ModelSpec(model_id="m", voices=named, languages=languages)


def chosen(offer: VoiceCatalog, **request: Any) -> str:
    return SessionRequest.from_proto(tts_pb2.StartSessionRequest(**request)).choose_voice(offer).name


def refusal(offer: VoiceCatalog, **request: Any) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        chosen(offer, **request)
    return caught.value


def test_without_a_declaration_everything_is_offered() -> None:
    assert voice_catalog_of(declared(), PACK) == VoiceCatalog(voices=PACK)


def test_declared_voices_are_those_in_that_order_and_keep_their_languages_unless_given_one() -> None:
    offer = voice_catalog_of(declared(("eva", ""), ("low", "en-AU")), PACK)
    assert offer.voices == (EVA, Voice(name="low", language="en-AU"))
    assert chosen(offer) == "eva"
    assert refusal(offer, voice="high").reason == "VOICE_NOT_FOUND"


def test_a_voice_that_the_model_does_not_have_is_named_with_those_that_it_has() -> None:
    with pytest.raises(VoiceplaneError) as caught:
        voice_catalog_of(declared(("unknown", "")), PACK)
    assert (caught.value.reason, caught.value.field) == ("UNKNOWN_VOICE", "voices")
    assert caught.value.message == "model 'm' has no voice 'unknown': its voices are low, high, eva"


def test_before_it_is_resident_what_is_declared_is_expected() -> None:
    assert expected_voice_catalog(declared(), PACK) == VoiceCatalog(voices=PACK)
    assert expected_voice_catalog(declared(("eva", ""), ("new", "")), PACK).voices == (
        EVA,
        Voice(name="new", language=""),
    )


def test_a_language_chooses_the_nearest_voice() -> None:
    offer = voice_catalog_of(declared(), PACK)
    assert chosen(offer, language="en-GB") == "high"
    assert chosen(offer, language="en") == "low"
    assert chosen(offer, language="de-AT") == "eva"
    error = refusal(offer, language="fr")
    assert error.reason == "LANGUAGE_NOT_SUPPORTED"
    assert error.message.endswith("de, en-GB, en-US")


def test_declared_languages_are_spoken_by_any_voice_and_no_others_are() -> None:
    offer = voice_catalog_of(declared(languages=("fr", "en")), PACK)
    assert chosen(offer, language="fr-CA") == "low"
    assert chosen(offer, language="fr", voice="eva") == "eva"
    assert refusal(offer, language="de").message.endswith("fr, en")
