"""Whisper through faster-whisper (CTranslate2), https://github.com/SYSTRAN/faster-whisper.

Whisper hallucinates words in silence ("Thank you.", "Thanks for watching!"). Three filters prevent that: audio without
a voice is not recognized, no recognition is conditioned on the text before, and segments are dropped that the model
rates as no speech, or that repeat themselves.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
from voiceplane_common.artifacts import fetch
from voiceplane_common.errors import VoiceplaneError, failed_precondition, not_found, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_speech_input.asr.compute_queue import ComputeQueue
from voiceplane_speech_input.asr.recognizer import RecognitionResult
from voiceplane_speech_input.asr.settings import WHISPER_MODELS
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
from voiceplane_speech_input.turns.words import base_language, words_of
from voiceplane_speech_input.vad.silero import WINDOW_SAMPLES, VoiceActivityDetector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

    from voiceplane_speech_input.asr.settings import AsrSection
    from voiceplane_speech_input.audio.format import Samples

MIN_DURATION_MS = 100
"""Shorter audio holds no word."""

_REMEDY = (
    "pip install 'voiceplane-speech-input[whisper-base]' for the base model, or set asr.model to a folder with a "
    "CTranslate2 Whisper model"
)

_log = get_logger("asr")


@dataclass(frozen=True, slots=True)
class _Device:
    name: str
    compute_type: str
    workers: int


class WhisperRecognizer:
    """A Recognizer with one thread on a CPU and two on a GPU."""

    def __init__(self, settings: AsrSection) -> None:
        self._settings = settings
        self._model: WhisperModel | None = None
        self._queue: ComputeQueue[RecognitionResult] | None = None

    async def start(self) -> None:
        """See Recognizer."""
        folder = await asyncio.to_thread(find_model, self._settings.model)
        self._model, device = await asyncio.to_thread(_load_on_a_device, folder, self._settings)
        self._queue = ComputeQueue(
            workers=device.workers, max_waiting=self._settings.max_waiting, name="speech recognition"
        )
        _log.info("whisper is ready", device=device.name, compute_type=device.compute_type)

    @property
    def waiting(self) -> int:
        """How many recognitions wait for a thread."""
        return self._queue.waiting if self._queue else 0

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        """See Recognizer."""
        model, queue = self._model, self._queue
        if model is None or queue is None:
            raise failed_precondition("ASR_NOT_STARTED", "speech recognition has not been started: call start() first")
        whisper_language = base_language(language) if language else None
        if whisper_language not in {None, *model.supported_languages}:
            raise VoiceplaneError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "INVALID_ARGUMENT",
                f"speech recognition does not support the language {language!r}: use a BCP 47 tag such as 'en-US'",
                field="language",
            )
        beam_size = 1 if partial else self._settings.beam_size
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                return await queue.run(
                    lambda: _transcribe(
                        model, samples, language=whisper_language, beam_size=beam_size, settings=self._settings
                    ),
                    urgent=not partial,
                )
        except RuntimeError as error:  # CTranslate2's only exception, such as for no memory or a lost GPU
            raise unavailable("ASR_FAILED", f"speech recognition failed: {error}") from error
        except TimeoutError:
            raise unavailable(
                "ASR_TIMEOUT",
                f"no transcript within {self._settings.timeout_ms} ms (asr.timeout_ms): the machine is overloaded",
            ) from None

    async def aclose(self) -> None:
        """See Recognizer."""
        if self._queue is not None:
            await self._queue.aclose()
        self._model = None
        self._queue = None


def find_model(model: str) -> Path:
    """The folder of the model that asr.model names; a URI is fetched first.

    Raises:
        VoiceplaneError: ASR_MODEL_NOT_FOUND; the message names the remedy.
    """
    uri = WHISPER_MODELS.get(model, model)
    folder = Path(uri).expanduser()
    if not folder.is_dir():
        if ":" not in uri:
            known = ", ".join(WHISPER_MODELS)
            raise not_found(
                "asr.model",
                f"asr.model: there is no folder {model}, and no Whisper model of that name ({known}): {_REMEDY}",
                reason="ASR_MODEL_NOT_FOUND",
            )
        try:
            folder = fetch(uri)
        except VoiceplaneError as error:
            raise not_found(
                "asr.model", f"asr.model: {error.message}: {_REMEDY}", reason="ASR_MODEL_NOT_FOUND"
            ) from error
    missing = [name for name in ("model.bin", "config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise not_found(
            "asr.model", f"asr.model: {folder} has no {', '.join(missing)}: {_REMEDY}", reason="ASR_MODEL_NOT_FOUND"
        )
    return folder


def _load_on_a_device(folder: Path, settings: AsrSection) -> tuple[WhisperModel, _Device]:
    """Load the model and recognize silence with it.

    A GPU's driver tells nothing of the libraries that CTranslate2 needs there, such as cuBLAS: only a recognition does.
    """
    device = _choose_device(settings)
    try:
        return _load(folder, device, settings), device
    except VoiceplaneError as error:
        if device.name == "cpu" or settings.device != "auto":
            raise
        _log.warning("the GPU can't be used for speech recognition, which runs on the CPU", reason=error.message)
        device = _cpu(settings)
        return _load(folder, device, settings), device


def _choose_device(settings: AsrSection) -> _Device:
    import ctranslate2  # noqa: PLC0415  # slow to import; needed only when a model is loaded

    has_gpu = settings.device != "cpu" and ctranslate2.get_cuda_device_count() > 0
    if settings.device == "cuda" and not has_gpu:
        raise failed_precondition(
            "NO_GPU", "asr.device is cuda, but no GPU can be used: set it to auto or cpu", field="asr.device"
        )
    if not has_gpu:
        return _cpu(settings)
    return _Device("cuda", "float16" if settings.compute_type == "auto" else settings.compute_type, 2)


def _cpu(settings: AsrSection) -> _Device:
    # Types of a GPU are none of a CPU's.
    given = settings.compute_type if settings.compute_type in {"int8", "int8_float32", "int16", "float32"} else "int8"
    return _Device("cpu", given, 1)


def _load(folder: Path, device: _Device, settings: AsrSection) -> WhisperModel:
    from voiceplane_speech_input.asr.short_window_whisper import ShortWindowWhisper  # noqa: PLC0415  # takes seconds to import

    try:
        model = ShortWindowWhisper(
            str(folder),
            device=device.name,
            compute_type=device.compute_type,
            cpu_threads=settings.cpu_threads or min(4, os.cpu_count() or 1),
            num_workers=device.workers,
            local_files_only=True,
        )
        segments, _info = model.transcribe(np.zeros(USER_SAMPLE_RATE_HZ, np.float32), language="en", beam_size=1)
        list(segments)
    except (RuntimeError, ValueError) as error:
        raise failed_precondition(
            "ASR_MODEL_BROKEN",
            f"asr.model: {folder} can't be loaded on {device.name}: {error}: {_REMEDY}",
            field="asr.model",
        ) from error
    return model


def _transcribe(
    model: WhisperModel, samples: Samples, *, language: str | None, beam_size: int, settings: AsrSection
) -> RecognitionResult:
    """The blocking part; runs on a thread of the queue."""
    duration_ms = samples.size * 1000 // USER_SAMPLE_RATE_HZ
    clean = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if duration_ms < MIN_DURATION_MS or not _has_voice(clean, settings.voice_threshold):
        return RecognitionResult(
            text="", language=language or "", avg_logprob=0.0, no_speech_probability=1.0, duration_ms=duration_ms
        )
    found, info = model.transcribe(
        clean,
        language=language,
        beam_size=beam_size,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    segments = [segment for segment in found if _is_speech(segment, settings)]
    text = " ".join(segment.text.strip() for segment in segments)
    return RecognitionResult(
        text=text if words_of(text) else "",
        language=info.language,
        avg_logprob=_mean(segment.avg_logprob for segment in segments),
        no_speech_probability=max((segment.no_speech_prob for segment in segments), default=1.0),
        duration_ms=duration_ms,
    )


def _has_voice(samples: Samples, threshold: float) -> bool:
    detector = VoiceActivityDetector()
    return any(  # window by window, since speech is mostly found early
        frame.probability >= threshold
        for start in range(0, samples.size, WINDOW_SAMPLES)
        for frame in detector.process(samples[start : start + WINDOW_SAMPLES])
    )


def _is_speech(segment: Segment, settings: AsrSection) -> bool:
    is_unsure = segment.avg_logprob < settings.avg_logprob_min
    is_no_speech = segment.no_speech_prob > settings.no_speech_max
    return not (is_unsure and is_no_speech) and segment.compression_ratio <= settings.compression_ratio_max


def _mean(values: Iterable[float]) -> float:
    collected = list(values)
    return sum(collected) / len(collected) if collected else 0.0
