"""What runs in the process that recognizes files: decoding of uploads, and recognition of one window at a time.

It is a process of its own, so that a file neither takes the CPU from conversations (its priority is lower) nor ends
them if it makes a decoder crash.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from voiceplane_common.errors import invalid

from voiceplane_speech_input.asr.whisper import Device, load_on_a_device
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

Pcm = NDArray[np.int16]
"""Mono audio at 16,000 Hz, shape (n,)."""

NICENESS = 10
WINDOW_S = 30
"""Whisper recognizes at most this much at a time."""
MIN_CUT_S = 5
MIN_SILENCE_MS = 400
RAW_FORMATS = {"pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw"}
"""Audio without a header, and FFmpeg's names of its demuxers."""
DEMUXERS = (
    "aac", "ac3", "aiff", "amr", "asf", "au", "avi", "caf", "flac", "flv", "matroska", "mov", "mp3", "mpeg", "mpegts",
    "ogg", "w64", "wav", "webm",
)  # fmt: skip
"""Formats that hold their audio themselves: a playlist would make FFmpeg open other files and addresses."""
FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Whisper's own: a higher one is tried if the words are unlikely or repeat themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFormat:
    """The format of audio without a header."""

    encoding: Literal["pcm", "mulaw", "alaw"]
    sample_rate_hz: int
    channels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperOptions:
    """The model, and when its words are dropped; see AsrSection."""

    folder: str
    device: Device
    may_fall_back: bool
    cpu_threads: int
    beam_size: int
    voice_threshold: float
    no_speech_max: float
    avg_logprob_min: float
    compression_ratio_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRequest:
    """How to recognize a file.

    Attributes:
        task: "translate" writes English.
        language: A primary subtag, such as "en"; empty: as detected in the first window with speech.
        prompt: Words that the model should expect.
        temperature: 0 to 1; 0 also tries higher ones where the model is unsure.
        words: Whether times of words are wanted.
    """

    task: Literal["transcribe", "translate"] = "transcribe"
    language: str = ""
    prompt: str = ""
    temperature: float = 0.0
    words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word and its times in the file, in seconds."""

    word: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptSegment:
    """A part of a transcript; the fields are Whisper's, with times in the file."""

    start_s: float
    end_s: float
    text: str
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 1.0
    no_speech_probability: float = 0.0
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    """What one window gave.

    Attributes:
        samples: How many of the window's samples are done with; the next window begins there.
        language: As requested or detected; empty if there was no speech.
        segments: The transcript of those samples.
    """

    samples: int
    language: str
    segments: tuple[TranscriptSegment, ...]


_models: dict[WhisperOptions, WhisperModel] = {}


def initialize() -> None:
    """Prepare the process: a low priority, and an end together with its parent."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group, and the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def decode_audio(data: bytes, *, raw: RawFormat | None, max_duration_ms: int) -> Pcm:
    """Decode an upload.

    Args:
        data: A file of any format of DEMUXERS, or raw audio.
        raw: The format of raw audio; None for a file that says so itself.
        max_duration_ms: A longer file is refused.

    Raises:
        VoiceplaneError: UNREADABLE_AUDIO, AUDIO_TOO_LONG.
    """
    import av  # noqa: PLC0415  # slow to import

    limit = max_duration_ms * USER_SAMPLE_RATE_HZ // 1000
    chunks: list[Pcm] = []
    total = 0
    try:
        with contextlib.closing(_open(data, raw)) as container:
            for chunk in _chunks(container):
                total += chunk.size
                if total > limit:
                    message = f"the audio is longer than transcription.max_duration_ms, {max_duration_ms}: split it"
                    raise invalid("file", message, reason="AUDIO_TOO_LONG")
                chunks.append(chunk)
    except (av.FFmpegError, IndexError, ValueError) as error:
        message = f"the file holds no audio that can be read ({error}): send mp3, m4a, ogg, webm, flac or wav"
        raise invalid("file", message, reason="UNREADABLE_AUDIO") from None
    if not total:
        raise invalid("file", "the file holds no audio: send a longer recording", reason="UNREADABLE_AUDIO")
    return np.concatenate(chunks)


def _open(data: bytes, raw: RawFormat | None) -> InputContainer:
    import av  # noqa: PLC0415

    if raw is None:
        return av.open(
            io.BytesIO(data), "r", options={"format_whitelist": ",".join(DEMUXERS)}, metadata_errors="ignore"
        )
    layout = "mono" if raw.channels == 1 else "stereo"
    options = {"sample_rate": str(raw.sample_rate_hz), "ch_layout": layout}
    return av.open(io.BytesIO(data), "r", format=RAW_FORMATS[raw.encoding], options=options)


def _chunks(container: InputContainer) -> Iterator[Pcm]:
    """The first audio stream at 16 kHz; a damaged packet is left out."""
    import av  # noqa: PLC0415

    resampler = av.AudioResampler(format="s16", layout="mono", rate=USER_SAMPLE_RATE_HZ)
    for packet in container.demux(container.streams.audio[0]):
        frames: list[av.AudioFrame] = []
        with contextlib.suppress(av.error.InvalidDataError):
            frames = list(packet.decode())
        for frame in frames:
            frame.pts = None  # gaps of the container are no audio
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray()[0]
    for resampled in resampler.resample(None):
        yield resampled.to_ndarray()[0]


def recognize_window(
    samples: Pcm, offset_s: float, *, last: bool, request: FileRequest, options: WhisperOptions
) -> WindowResult:
    """Recognize the beginning of a window of at most WINDOW_S, up to its last pause.

    Args:
        samples: The window.
        offset_s: Where it begins in the file.
        last: Whether the file ends with it, so that all of it is recognized.
        request: What is wanted.
        options: The model.

    Raises:
        VoiceplaneError: The model can't be loaded, or the language is unknown to it.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps  # noqa: PLC0415  # slow to import

    audio = samples.astype(np.float32) / 32768
    vad = VadOptions(threshold=options.voice_threshold, min_silence_duration_ms=MIN_SILENCE_MS)
    speech = [(each["start"], each["end"]) for each in get_speech_timestamps(audio, vad)]
    cut = audio.size if last else cut_at(speech, audio.size)
    if not any(start < cut for start, _ in speech):
        return WindowResult(samples=cut, language="", segments=())
    model = _model(options)
    if request.language and request.language not in model.supported_languages:
        message = f"speech recognition does not support the language {request.language!r}: use a tag such as en"
        raise invalid("language", message)
    found, info = model.transcribe(
        audio[:cut],
        task=request.task,
        language=request.language or None,
        beam_size=options.beam_size,
        temperature=request.temperature or FALLBACK_TEMPERATURES,
        initial_prompt=request.prompt or None,
        condition_on_previous_text=False,
        word_timestamps=request.words,
        vad_filter=True,
        vad_parameters=vad,
    )
    segments = tuple(_segment(each, offset_s) for each in found if _is_speech(each, options))
    return WindowResult(samples=cut, language=info.language, segments=segments)


def cut_at(speech: list[tuple[int, int]], size: int) -> int:
    """Where to cut a window that more audio follows: in its last pause, or at its end if there is none.

    Args:
        speech: Begin and end of each stretch of speech, in samples at 16 kHz.
        size: Of the window.
    """
    silence = MIN_SILENCE_MS * USER_SAMPLE_RATE_HZ // 1000
    if not speech or speech[-1][1] <= size - silence:
        return size
    pauses = [(end + start) // 2 for (_, end), (start, _) in itertools.pairwise(speech)]
    late = [pause for pause in pauses if pause >= MIN_CUT_S * USER_SAMPLE_RATE_HZ]
    return late[-1] if late else size


def _model(options: WhisperOptions) -> WhisperModel:
    if options not in _models:
        _models[options], _ = load_on_a_device(
            Path(options.folder),
            options.device,
            cpu_threads=options.cpu_threads,
            may_fall_back=options.may_fall_back,
        )
    return _models[options]


def _is_speech(segment: Segment, options: WhisperOptions) -> bool:
    is_unsure = segment.avg_logprob < options.avg_logprob_min
    is_no_speech = segment.no_speech_prob > options.no_speech_max
    return not (is_unsure and is_no_speech) and segment.compression_ratio <= options.compression_ratio_max


def _segment(segment: Segment, offset_s: float) -> TranscriptSegment:
    return TranscriptSegment(
        start_s=offset_s + float(segment.start),
        end_s=offset_s + float(segment.end),
        text=segment.text.strip(),
        tokens=tuple(segment.tokens),
        temperature=segment.temperature or 0.0,
        avg_logprob=segment.avg_logprob,
        compression_ratio=segment.compression_ratio,
        no_speech_probability=segment.no_speech_prob,
        words=tuple(
            TimedWord(
                word=word.word.strip(),
                start_s=offset_s + float(word.start),
                end_s=offset_s + float(word.end),
                probability=float(word.probability),
            )
            for word in segment.words or ()
        ),
    )
