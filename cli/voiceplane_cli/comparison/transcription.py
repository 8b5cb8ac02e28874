"""Hearing what was said: the orchestrator's recognizer, where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from voiceplane_common import logs
from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.comparison.measurements import samples_of, word_error_rate
from voiceplane_cli.comparison.recordings import Script
from voiceplane_cli.output import CliError
from voiceplane_cli.wav import resample

NEEDED = ("voiceplane_orchestrator", "faster_whisper")
INSTALL = "pip install 'voiceplane-orchestrator[whisper-base]', or leave --transcribe out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What was understood of a recording.

    Attributes:
        text: In the recognizer's words.
        word_error_rate: Against the script; case and punctuation don't count, and "9" is not "nine".
    """

    text: str
    word_error_rate: float


Transcribe = Callable[[bytes, Script], Awaitable[Transcription]]
"""Transcribes mono s16le PCM at 48 kHz that was to say a script."""


@asynccontextmanager
async def open_transcriber() -> AsyncIterator[Transcribe]:
    """A recognizer that is ready.

    Raises:
        CliError: It is not installed.
        VoiceplaneError: It has no model; names the remedy.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CliError(f"--transcribe needs {' and '.join(missing)}: {INSTALL}")
    logs.configure(level="warning", json=False)
    # Seconds of imports, and an extra.
    from voiceplane_speech_input.asr.settings import AsrSection  # noqa: PLC0415
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer  # noqa: PLC0415
    from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ  # noqa: PLC0415
    from voiceplane_speech_input.turns.words import words_of  # noqa: PLC0415

    recognizer = WhisperRecognizer(AsrSection())

    async def listen(pcm: bytes, script: Script) -> Transcription:
        samples = resample(samples_of(pcm), SAMPLE_RATE_HZ, USER_SAMPLE_RATE_HZ).astype(np.float32)
        text = (await recognizer.transcribe(samples, language=script.language)).text
        return Transcription(
            text=text, word_error_rate=round(word_error_rate(words_of(script.text), words_of(text)), 4)
        )

    try:
        await recognizer.start()
        yield listen
    finally:
        await recognizer.aclose()
