from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from voiceplane_cli.comparison import compare as comparing
from voiceplane_cli.comparison.recordings import Recording, Script
from voiceplane_cli.comparison.transcription import Transcription
from voiceplane_cli.model_info import ModelInfo, Placement
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_common.errors import VoiceplaneError

from tests.support.compare_results import recording, result

if TYPE_CHECKING:
    from voiceplane_cli.inventory import Inventory

SCRIPT = Script(text="Hello there.")


@dataclass
class Stage:
    """Models that come and go as they are asked to, and speak at once."""

    states: dict[str, str]
    references: int = 0
    fails_after: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def models(self) -> list[ModelInfo]:
        return [
            ModelInfo(
                model_id=model_id,
                family="mock",
                workers=(Placement(worker="w", state=state, references=self.references, memory_bytes=7),),
            )
            for model_id, state in self.states.items()
        ]

    async def change(self, model_id: str, action: str) -> None:
        self.calls.append(f"{action} {model_id}")
        if model_id not in self.states:
            raise VoiceplaneError(grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", f"unknown\nmodel {model_id}")
        self.states[model_id] = "resident" if action == "load" else "absent"

    async def speak(self, model_id: str, script: Script) -> Recording:
        self.calls.append(model_id)
        if self.calls.count(model_id) > self.fails_after.get(model_id, 100):
            raise CliError("it fell over")
        return recording(first_audio_ms=10.0 * self.calls.count(model_id))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(states={"a": "resident", "b": "absent"})
    monkeypatch.setattr(comparing, "recorder_for", lambda source: source.speak)
    return stage


async def compared(stage: Stage, *models: str, repeat: int = 2, cold: bool = False) -> list[comparing.ModelResult]:
    source = cast("Inventory", stage)
    return await comparing.compare(source, models, SCRIPT, repeat=repeat, cold=cold, progress=lambda _: None)


async def test_models_are_loaded_if_need_be_and_speak_in_turns(stage: Stage) -> None:
    a, b = await compared(stage, "a", "b")
    assert stage.calls == ["a", "load b", "b", "a", "b", "a", "b"]
    assert (a.load_ms, a.cold_first_audio_ms) == (None, None)
    assert b.load_ms is not None
    assert b.cold_first_audio_ms == 10
    for each in (a, b):
        assert [spoken.first_audio_ms for spoken in each.recordings] == [20, 30], (
            "the first recording is not among the warm ones"
        )
        assert (each.family, each.memory_bytes, each.error) == ("mock", 7, "")
        assert each.sound


async def test_cold_unloads_an_unused_model(stage: Stage) -> None:
    (a,) = await compared(stage, "a", cold=True)
    assert stage.calls[:3] == ["unload a", "load a", "a"]
    assert a.cold_first_audio_ms == 10
    stage.references = 1
    stage.calls.clear()
    (a,) = await compared(stage, "a", cold=True)
    assert stage.calls[0] == "a"
    assert a.cold_first_audio_ms is None


async def test_a_model_that_fails_does_not_take_the_others_with_it(stage: Stage) -> None:
    stage.states["c"] = "resident"
    stage.fails_after["c"] = 2
    none, b, c = await compared(stage, "none", "b", "c", repeat=3)
    assert none.error == "unknown model none"
    assert comparing.as_json(none)["first_audio_ms"] is None
    assert len(b.recordings) == 3
    assert (len(c.recordings), c.error) == (1, "it fell over")
    assert comparing.errors([none, b, c]) == ["none: unknown model none", "c: it fell over"]


async def test_a_load_that_comes_to_nothing_says_why(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def change(model_id: str, action: str) -> None:
        stage.states[model_id] = "failed"

    monkeypatch.setattr(stage, "change", change)
    (b,) = await compared(stage, "b")
    assert b.error.startswith("failed after its load")
    assert stage.calls == []


def test_models_are_named_once_each_and_at_least_one() -> None:
    assert comparing.models_of(" a, b,,") == ("a", "b")
    for given, words in ((" ,", "names none"), ("a,b,a", "names a twice")):
        with pytest.raises(CliError, match=words) as caught:
            comparing.models_of(given)
        assert caught.value.code is ExitCode.USAGE


def test_a_text_that_is_no_utf8_is_a_mistake_of_input() -> None:
    with pytest.raises(CliError, match="iconv"):
        comparing.script_of("caf\udce9", None)


def test_the_json_has_the_figures_under_names_that_stay() -> None:
    value = result("joe")
    value.transcription = Transcription(text="hello", word_error_rate=0.5)
    assert comparing.as_json(value) == {
        "model": "joe", "family": "piper", "voice": "joe", "error": None, "load_ms": 800.0,
        "cold_first_audio_ms": 90.0, "first_audio_ms": {"p50": 50.0, "p95": 60.0, "count": 3},
        "rtf": {"p50": 0.1, "p95": 0.1, "count": 3}, "integrated_lufs": pytest.approx(-9.0, abs=0.1),
        "peak_dbfs": pytest.approx(-6.0, abs=0.1), "duration_ms": 1000.0, "memory_bytes": 63_000_000,
        "transcript": "hello", "word_error_rate": 0.5,
    }  # fmt: skip


def test_the_column_of_word_errors_is_there_where_something_was_transcribed() -> None:
    quiet, heard = result("joe"), result("amy")
    assert "word errors" not in comparing.columns([quiet])
    assert len(comparing.cells(quiet, [quiet])) == len(comparing.columns([quiet]))
    heard.transcription = Transcription(text="hello", word_error_rate=0.5)
    both = [quiet, heard]
    assert comparing.columns(both)[-1] == "word errors"
    assert [comparing.cells(each, both)[-1] for each in both] == ["-", "50 %"]
    assert comparing.cells(heard, both)[2] == "50/60"
