"""The names that clients of OpenAI send, and the models and voices that they mean here."""

from __future__ import annotations

import pytest
from voiceplane_orchestrator.routing.worker_view import ModelView, VoiceView, WorkerView
from voiceplane_orchestrator.settings import SpeechSection
from voiceplane_orchestrator.transports.http.voice_names import OPENAI_VOICES, VoiceNames


def model(model_id: str, *voices: str, default: bool = False) -> ModelView:
    views = tuple(VoiceView(name=name, language="en-US") for name in voices)
    return ModelView(model_id=model_id, family="mock", state="resident", is_default=default, voices=views)


def names(*models: ModelView, **settings: dict[str, str]) -> VoiceNames:
    worker = WorkerView(address="127.0.0.1:1", models=models)
    return VoiceNames(SpeechSection(**settings), workers=lambda: [worker])


@pytest.mark.parametrize(
    "name", ["", "tts-1", "tts-1-hd", "tts-1-1106", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"]
)
def test_a_model_of_openais_means_the_default_one(name: str) -> None:
    assert names(model("joe", "joe", default=True)).model_id(name) == ""


def test_an_alias_beats_openais_meaning_and_a_real_model_beats_an_alias() -> None:
    known = names(model("joe"), model("kokoro"), model_aliases={"tts-1-hd": "kokoro", "joe": "kokoro", "hd": "kokoro"})
    assert [known.model_id(name) for name in ("tts-1-hd", "joe", "hd")] == ["kokoro", "joe", "kokoro"]
    assert known.model_id("unknown") == "unknown", "routing refuses it, and says which there are"
    assert known.aliases() == {
        "tts-1": "", "tts-1-hd": "kokoro", "gpt-4o-mini-tts": "", "joe": "kokoro", "hd": "kokoro",
    }  # fmt: skip


def test_each_of_openais_voices_means_a_voice_and_they_differ_as_far_as_there_are_voices() -> None:
    two = names(model("mock", "low", "high", default=True))
    meant = [two.voice(name, model_id="") for name in OPENAI_VOICES]
    assert set(meant) == {"low", "high"}
    one = names(model("joe", "joe"))
    assert {one.voice(name, model_id="joe") for name in OPENAI_VOICES} == {"joe"}


def test_a_voice_of_that_very_name_is_meant() -> None:
    kokoro = names(model("kokoro", "af_heart", "af_nova", "am_echo"))
    assert [kokoro.voice(name, model_id="kokoro") for name in ("nova", "echo")] == ["af_nova", "am_echo"]


def test_a_voices_alias_and_real_names_and_unknown_ones() -> None:
    known = names(model("mock", "low", "high", default=True), voice_aliases={"alloy": "high", "boss": "low"})
    assert [known.voice(name, model_id="") for name in ("alloy", "boss", "high", "unknown", "")] == [
        "high",
        "low",
        "high",
        "unknown",
        "",
    ]


def test_without_a_worker_the_choice_is_left_to_routing() -> None:
    assert VoiceNames(SpeechSection(), workers=list).voice("alloy", model_id="") == ""
