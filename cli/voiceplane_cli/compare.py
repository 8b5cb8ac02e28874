"""One text through several models: load what is not resident, speak in turns, and say what was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.comparing.figures import Loudness, Spread, loudness, require_meter, samples_of, spread
from voiceplane_cli.comparing.recognition import Heard, Listen
from voiceplane_cli.comparing.takes import Script, Speak, Take, speaker
from voiceplane_cli.models import Inventory, settled
from voiceplane_cli.output import CliError, ExitCode, humanise_bytes, one_line, table

COLUMNS = (
    "model", "family", "first audio ms", "cold ms", "load ms", "RTF", "LUFS", "peak dBFS", "length s", "memory",
)  # fmt: skip
"""First audio and RTF are medians, with the 95th percentile behind the stroke."""


@dataclass(slots=True, kw_only=True)
class Performance:
    """One model in the comparison. The times of takes count from when the text was sent.

    Attributes:
        model_id: Its id.
        family: Such as "piper"; empty if nobody knows the model.
        memory_bytes: What it holds; 0 if not known.
        load_ms: How long it took to make it resident, with fetching and warm-up; None if it was.
        first: Its first take; "cold" if it was loaded for it.
        takes: The warm ones.
        sound: How loud the take that is shown is.
        heard: What was understood of the first warm take; None without a recognizer.
        error: Why there are no more takes; empty if there are all.
    """

    model_id: str
    family: str = ""
    memory_bytes: int = 0
    load_ms: float | None = None
    first: Take | None = None
    takes: list[Take] = field(default_factory=list)
    sound: Loudness | None = None
    heard: Heard | None = None
    error: str = ""

    @property
    def shown(self) -> Take | None:
        """The take that is listened to and measured: the first warm one, else the very first."""
        return self.takes[0] if self.takes else self.first

    @property
    def cold_first_audio_ms(self) -> float | None:
        """First audio right after the load; None if the model was resident."""
        return None if self.load_ms is None or self.first is None else self.first.first_audio_ms

    @property
    def first_audio_ms(self) -> Spread | None:
        """Of the warm takes."""
        return spread([take.first_audio_ms for take in self.takes])

    @property
    def rtf(self) -> Spread | None:
        """Of the warm takes; None where nobody tells."""
        return spread([take.rtf for take in self.takes if take.rtf is not None])


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
    listen: Listen | None = None,
    progress: Callable[[str], None],
) -> list[Performance]:
    """Let models speak. What fails of one is told in its place, and the others go on.

    Args:
        source: Where they are.
        models: Their ids.
        script: What each is to say.
        repeat: Warm takes of each, in turns: what disturbs the machine for a while disturbs all.
        cold: Unload each first where no session holds it.
        listen: Transcribes a take of each.
        progress: Told what goes on.

    Raises:
        CliError: The source is out of reach, or what measures loudness is not installed.
    """
    require_meter()
    speak = speaker(source)
    await source.models()
    performances = [Performance(model_id=model_id) for model_id in models]
    for each in performances:
        progress(f"{each.model_id}: loading")
        await _guarded(each, _prepare(source, speak, each, script, cold=cold))
    for number in range(1, repeat + 1):
        for each in performances:
            if not each.error:
                progress(f"{each.model_id}: {number} of {repeat}")
                await _guarded(each, _add_take(speak, each, script))
    for each in performances:
        if each.shown:
            progress(f"{each.model_id}: measuring")
            each.sound = await asyncio.to_thread(loudness, samples_of(each.shown.pcm))
            if listen:
                await _guarded(each, _transcribe(listen, each.shown, each, script))
    await _look_up(source, performances)
    return performances


async def _guarded(performance: Performance, work: Awaitable[None]) -> None:
    try:
        await work
    except (CliError, VoiceplaneError) as error:
        performance.error = one_line(error.message)


async def _prepare(source: Inventory, speak: Speak, performance: Performance, script: Script, *, cold: bool) -> None:
    """Have the model resident, and speak once."""
    model_id = performance.model_id
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
        performance.load_ms = took_ms
    performance.first = await speak(model_id, script)


async def _add_take(speak: Speak, performance: Performance, script: Script) -> None:
    performance.takes.append(await speak(performance.model_id, script))


async def _transcribe(listen: Listen, take: Take, performance: Performance, script: Script) -> None:
    performance.heard = await listen(take.pcm, script)


async def _look_up(source: Inventory, performances: Sequence[Performance]) -> None:
    known = {model.model_id: model for model in await source.models()}
    for each in performances:
        if model := known.get(each.model_id):
            each.family = model.family
            each.memory_bytes = max((place.memory_bytes for place in model.workers), default=0)


def as_json(performance: Performance) -> dict[str, Any]:
    """The machine's form; docs/reference/cli.md describes it."""
    take, sound = performance.shown, performance.sound
    return {
        "model": performance.model_id,
        "family": performance.family,
        "voice": take.voice if take else None,
        "error": performance.error or None,
        "load_ms": _rounded(performance.load_ms),
        "cold_first_audio_ms": _rounded(performance.cold_first_audio_ms),
        "first_audio_ms": _spread_json(performance.first_audio_ms),
        "rtf": _spread_json(performance.rtf),
        "integrated_lufs": sound.integrated_lufs if sound else None,
        "peak_dbfs": sound.peak_dbfs if sound else None,
        "duration_ms": _rounded(take.duration_ms) if take else None,
        "memory_bytes": performance.memory_bytes,
        "transcript": performance.heard.text if performance.heard else None,
        "word_error_rate": performance.heard.word_error_rate if performance.heard else None,
    }


def columns(performances: Sequence[Performance]) -> tuple[str, ...]:
    """The headings; one more where something was transcribed."""
    return (*COLUMNS, "word errors") if any(each.heard for each in performances) else COLUMNS


def cells(performance: Performance, performances: Sequence[Performance]) -> tuple[str, ...]:
    """A row of the table of some performances, in the order of its columns."""
    take, sound = performance.shown, performance.sound
    return (
        performance.model_id,
        performance.family or "-",
        _spread_cell(performance.first_audio_ms, digits=0),
        _cell(performance.cold_first_audio_ms),
        _cell(performance.load_ms),
        _spread_cell(performance.rtf, digits=2),
        _cell(sound.integrated_lufs if sound else None, digits=1),
        _cell(sound.peak_dbfs if sound else None, digits=1),
        _cell(take.duration_ms / 1000 if take else None, digits=2),
        humanise_bytes(performance.memory_bytes),
        f"{100 * performance.heard.word_error_rate:.0f} %" if performance.heard else "-",
    )[: len(columns(performances))]


def comparison_table(performances: Sequence[Performance]) -> Table:
    """A row for each model."""
    return table(columns(performances), [cells(each, performances) for each in performances])


def errors(performances: Sequence[Performance]) -> list[str]:
    """A line for each model that failed; below the table, where it has the whole width."""
    return [f"{each.model_id}: {each.error}" for each in performances if each.error]


def _cell(value: float | None, *, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _spread_cell(value: Spread | None, *, digits: int) -> str:
    return "-" if value is None else f"{value.p50:.{digits}f}/{value.p95:.{digits}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _spread_json(value: Spread | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
