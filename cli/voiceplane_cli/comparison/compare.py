"""`voiceplane compare`: loads models that are not resident, lets them speak one text in turns, and measures them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.comparison.measurements import (
    Loudness,
    Percentiles,
    loudness,
    percentiles,
    require_meter,
    samples_of,
)
from voiceplane_cli.comparison.recordings import Recording, Script, Speak, recorder_for
from voiceplane_cli.comparison.transcription import Transcribe, Transcription
from voiceplane_cli.inventory import Inventory, settled
from voiceplane_cli.output import CliError, ExitCode, humanise_bytes, one_line, table

COLUMNS = (
    "model", "family", "first audio ms", "cold ms", "load ms", "RTF", "LUFS", "peak dBFS", "length s", "memory",
)  # fmt: skip
"""First audio and RTF are medians, with the 95th percentile behind the stroke."""


@dataclass(slots=True, kw_only=True)
class ModelResult:
    """One model in the comparison. The times of recordings count from when the text was sent.

    Attributes:
        model_id: Its id.
        family: Such as "piper"; empty for an unknown model.
        memory_bytes: What it holds; 0 if not known.
        load_ms: How long it took to make it resident, with fetching and warm-up; None if it was.
        first: Its first recording; "cold" if it was loaded for it.
        recordings: The warm ones.
        sound: How loud the recording that is shown is.
        transcription: What was understood of the first warm recording; None without a recognizer.
        error: Why there are no more recordings; empty if there are all.
    """

    model_id: str
    family: str = ""
    memory_bytes: int = 0
    load_ms: float | None = None
    first: Recording | None = None
    recordings: list[Recording] = field(default_factory=list)
    sound: Loudness | None = None
    transcription: Transcription | None = None
    error: str = ""

    @property
    def shown(self) -> Recording | None:
        """The recording that is listened to and measured: the first warm one, else the very first."""
        return self.recordings[0] if self.recordings else self.first

    @property
    def cold_first_audio_ms(self) -> float | None:
        """First audio right after the load; None if the model was resident."""
        return None if self.load_ms is None or self.first is None else self.first.first_audio_ms

    @property
    def first_audio_ms(self) -> Percentiles | None:
        """Of the warm recordings."""
        return percentiles([recording.first_audio_ms for recording in self.recordings])

    @property
    def rtf(self) -> Percentiles | None:
        """Of the warm recordings; None if the compute time is unknown."""
        return percentiles([recording.rtf for recording in self.recordings if recording.rtf is not None])


def models_of(given: str) -> tuple[str, ...]:
    """The models of `--models a,b`.

    Raises:
        CliError: There is none, or one twice.
    """
    models = tuple(name.strip() for name in given.split(",") if name.strip())
    if not models:
        raise CliError("--models names none: give ids as of `voiceplane models list`, such as a,b", code=ExitCode.USAGE)
    if twice := {name for name in models if models.count(name) > 1}:
        raise CliError(f"--models names {' and '.join(sorted(twice))} twice: name each once", code=ExitCode.USAGE)
    return models


def script_of(text: str, language: str | None) -> Script:
    """What is to be said.

    Raises:
        CliError: It is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CliError("the text is not UTF-8: convert it (iconv -t UTF-8)", code=ExitCode.USAGE) from None
    return Script(text=text, language=language)


async def compare(
    source: Inventory,
    models: Sequence[str],
    script: Script,
    *,
    repeat: int,
    cold: bool = False,
    listen: Transcribe | None = None,
    progress: Callable[[str], None],
) -> list[ModelResult]:
    """Let models speak. The failure of one is recorded in its result, and the others continue.

    Args:
        source: Where they are.
        models: Their ids.
        script: What each is to say.
        repeat: Warm recordings of each, in turns: what disturbs the machine for a while disturbs all.
        cold: Unload each first where no session holds it.
        listen: Transcribes a recording of each.
        progress: Called with each step.

    Raises:
        CliError: The source is out of reach, or what measures loudness is not installed.
    """
    require_meter()
    speak = recorder_for(source)
    await source.models()
    results = [ModelResult(model_id=model_id) for model_id in models]
    for each in results:
        progress(f"{each.model_id}: loading")
        await _guarded(each, _prepare(source, speak, each, script, cold=cold))
    for number in range(1, repeat + 1):
        for each in results:
            if not each.error:
                progress(f"{each.model_id}: {number} of {repeat}")
                await _guarded(each, _add_recording(speak, each, script))
    for each in results:
        if each.shown:
            progress(f"{each.model_id}: measuring")
            each.sound = await asyncio.to_thread(loudness, samples_of(each.shown.pcm))
            if listen:
                await _guarded(each, _transcribe(listen, each.shown, each, script))
    await _look_up(source, results)
    return results


async def _guarded(result: ModelResult, work: Awaitable[None]) -> None:
    try:
        await work
    except (CliError, VoiceplaneError) as error:
        result.error = one_line(error.message)


async def _prepare(source: Inventory, speak: Speak, result: ModelResult, script: Script, *, cold: bool) -> None:
    """Have the model resident, and speak once."""
    model_id = result.model_id
    found = next((model for model in await source.models() if model.model_id == model_id), None)
    is_resident = found is not None and found.state == "resident"
    if cold and found and is_resident and not any(place.references for place in found.workers):
        await source.change(model_id, "unload")
        is_resident = False
    if not is_resident:
        began = time.monotonic()
        await source.change(model_id, "load")
        took_ms = (time.monotonic() - began) * 1000
        place = (await settled(source, model_id)).best
        if place.state != "resident":
            raise CliError(f"{place.state} after its load: {place.reason}: {place.message}")
        result.load_ms = took_ms
    result.first = await speak(model_id, script)


async def _add_recording(speak: Speak, result: ModelResult, script: Script) -> None:
    result.recordings.append(await speak(result.model_id, script))


async def _transcribe(listen: Transcribe, recording: Recording, result: ModelResult, script: Script) -> None:
    result.transcription = await listen(recording.pcm, script)


async def _look_up(source: Inventory, results: Sequence[ModelResult]) -> None:
    known = {model.model_id: model for model in await source.models()}
    for each in results:
        if model := known.get(each.model_id):
            each.family = model.family
            each.memory_bytes = max((place.memory_bytes for place in model.workers), default=0)


def as_json(result: ModelResult) -> dict[str, Any]:
    """The machine's form; docs/reference/cli.md describes it."""
    recording, sound = result.shown, result.sound
    return {
        "model": result.model_id,
        "family": result.family,
        "voice": recording.voice if recording else None,
        "error": result.error or None,
        "load_ms": _rounded(result.load_ms),
        "cold_first_audio_ms": _rounded(result.cold_first_audio_ms),
        "first_audio_ms": _percentiles_json(result.first_audio_ms),
        "rtf": _percentiles_json(result.rtf),
        "integrated_lufs": sound.integrated_lufs if sound else None,
        "peak_dbfs": sound.peak_dbfs if sound else None,
        "duration_ms": _rounded(recording.duration_ms) if recording else None,
        "memory_bytes": result.memory_bytes,
        "transcript": result.transcription.text if result.transcription else None,
        "word_error_rate": result.transcription.word_error_rate if result.transcription else None,
    }


def columns(results: Sequence[ModelResult]) -> tuple[str, ...]:
    """The headings; one more where something was transcribed."""
    return (*COLUMNS, "word errors") if any(each.transcription for each in results) else COLUMNS


def cells(result: ModelResult, results: Sequence[ModelResult]) -> tuple[str, ...]:
    """A row of the table of some results, in the order of its columns."""
    recording, sound = result.shown, result.sound
    return (
        result.model_id,
        result.family or "-",
        _percentiles_cell(result.first_audio_ms, digits=0),
        _cell(result.cold_first_audio_ms),
        _cell(result.load_ms),
        _percentiles_cell(result.rtf, digits=2),
        _cell(sound.integrated_lufs if sound else None, digits=1),
        _cell(sound.peak_dbfs if sound else None, digits=1),
        _cell(recording.duration_ms / 1000 if recording else None, digits=2),
        humanise_bytes(result.memory_bytes),
        f"{100 * result.transcription.word_error_rate:.0f} %" if result.transcription else "-",
    )[: len(columns(results))]


def comparison_table(results: Sequence[ModelResult]) -> Table:
    """A row for each model."""
    return table(columns(results), [cells(each, results) for each in results])


def errors(results: Sequence[ModelResult]) -> list[str]:
    """A line for each model that failed; below the table, where it has the whole width."""
    return [f"{each.model_id}: {each.error}" for each in results if each.error]


def _cell(value: float | None, *, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percentiles_cell(value: Percentiles | None, *, digits: int) -> str:
    return "-" if value is None else f"{value.p50:.{digits}f}/{value.p95:.{digits}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _percentiles_json(value: Percentiles | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
