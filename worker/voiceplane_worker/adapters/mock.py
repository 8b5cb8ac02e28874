"""A family without a model: tones, as a pure function of the text. For tests, for benches, and for a first try."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field
from voiceplane_common.errors import failed_precondition, not_found
from voiceplane_common.settings import Section

from voiceplane_worker.adapters.base import FamilyTraits, Voice
from voiceplane_worker.adapters.family import Family
from voiceplane_worker.adapters.options import read_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

SAMPLE_RATE_HZ = 22_050
CHUNK_SAMPLES = 2_205
CHARACTER_MS = 60
AMPLITUDE = 0.25
LOWEST_HZ = 220.0
SEMITONES = 36
LORA_SEMITONES = 7

FAMILY = Family(
    traits=FamilyTraits(name="mock", streaming=True, lora=True),
    module="voiceplane_worker.adapters.mock",
    adapter="MockAdapter",
    uses_device=False,
)


class MockOptions(Section):
    """Options of a mock pack.

    Attributes:
        chunk_compute_ms: How long each chunk of 100 ms takes.
        load_ms: How long a load takes.
        fail_load: Whether a load fails.
        fail_on: Synthesis fails when it comes to this text; empty: it never does.
        memory_bytes: What the model claims to hold.
        device_bytes: An allocator's limit for all mock models of this process that have one; 0 for none.
        speech_bytes: What each utterance allocates while it is synthesized, under that limit.
    """

    chunk_compute_ms: float = Field(default=0.0, ge=0.0)
    load_ms: float = Field(default=0.0, ge=0.0)
    fail_load: bool = False
    fail_on: str = ""
    memory_bytes: int = Field(default=1_000_000, ge=0)
    device_bytes: int = Field(default=0, ge=0)
    speech_bytes: int = Field(default=0, ge=0)


class OutOfMemoryError(RuntimeError):
    """What torch raises, by its name and its words."""


class Allocator:
    """A device of limited memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held_bytes = 0

    def take(self, size_bytes: int, *, limit_bytes: int) -> None:
        """Allocate under a limit; models without one do not count."""
        if not limit_bytes:
            return
        with self._lock:
            free_bytes = limit_bytes - self._held_bytes
            if size_bytes > free_bytes:
                raise OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size_bytes} B. GPU 0 has a total capacity of "
                    f"{limit_bytes} B of which {free_bytes} B is free."
                )
            self._held_bytes += size_bytes

    def give_back(self, size_bytes: int, *, limit_bytes: int) -> None:
        """Free what was allocated under a limit."""
        if not limit_bytes:
            return
        with self._lock:
            self._held_bytes -= size_bytes


ALLOCATOR = Allocator()


class MockAdapter:
    """Loads mock voices; a pack needs no files."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> MockModel:
        """Load a voice; see Adapter.load. It computes nothing, so any device that could be there will do."""
        if device.partition(":")[0] not in {"cpu", "cuda"}:
            raise failed_precondition(
                "DEVICE_UNAVAILABLE", f"device {device!r} is unknown: use cpu, cuda or cuda:N", field="worker.device"
            )
        return MockModel(pack)


class MockModel:
    """A loaded mock voice, or an adapter on one, which speaks a fifth higher."""

    def __init__(self, pack: VoicePack, *, semitones: int = 0) -> None:
        """Take as long, or fail, as the pack says."""
        options = read_options(MockOptions, pack)
        time.sleep(options.load_ms / 1000)
        if options.fail_load:
            raise failed_precondition(
                "PACK_INVALID",
                f"voice pack {pack.metadata.model_id!r} is made to fail: remove options.fail_load",
                field="options.fail_load",
            )
        ALLOCATOR.take(options.memory_bytes, limit_bytes=options.device_bytes)
        self._options = options
        self._semitones = semitones
        self.sample_rate_hz = SAMPLE_RATE_HZ
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        self.memory_bytes = options.memory_bytes

    def attach(self, pack: VoicePack) -> MockModel:
        """Attach an adapter; see LoraBase.attach."""
        return MockModel(pack, semitones=self._semitones + LORA_SEMITONES)

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield the piece's tones in chunks of 100 ms; see Model.synthesize."""
        names = [voice.name for voice in self.voices]
        if piece.voice not in names:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(names)}")
        options = self._options
        ALLOCATOR.take(options.speech_bytes, limit_bytes=options.device_bytes)
        try:
            yield from self._speak(piece, names)
        finally:
            ALLOCATOR.give_back(options.speech_bytes, limit_bytes=options.device_bytes)

    def _speak(self, piece: Piece, names: list[str]) -> Iterator[Samples]:
        audio = tones(piece.text, octave=names.index(piece.voice) + self._semitones / 12, speed=piece.speed)
        fails_at = _fails_at(piece.text, self._options.fail_on, audio.size)
        for start in range(0, audio.size, CHUNK_SAMPLES):
            time.sleep(self._options.chunk_compute_ms / 1000)
            if fails_at is not None and start + CHUNK_SAMPLES > fails_at:
                raise RuntimeError("the mock model fails here, as its option fail_on asks")
            yield audio[start : start + CHUNK_SAMPLES]

    def close(self) -> None:
        """Free what it claims to hold."""
        ALLOCATOR.give_back(self.memory_bytes, limit_bytes=self._options.device_bytes)


def tones(text: str, *, octave: float = 0, speed: float = 1.0) -> Samples:
    """The mock's audio: for each character 60 ms of a tone of its own, without a jump between them.

    Returns:
        Samples at 22,050 Hz, within -0.25 to 0.25; none for text without a letter or a digit.
    """
    if not any(character.isalnum() for character in text):
        return np.zeros(0, dtype=np.float32)
    hz = LOWEST_HZ * 2.0 ** (octave + np.array([ord(character) % SEMITONES for character in text]) / 12.0)
    samples_per_character = round(SAMPLE_RATE_HZ * CHARACTER_MS / 1000 / speed)
    phase = 2.0 * np.pi * np.cumsum(np.repeat(hz, samples_per_character)) / SAMPLE_RATE_HZ
    return (AMPLITUDE * np.sin(phase)).astype(np.float32)


def _fails_at(text: str, word: str, samples: int) -> int | None:
    """The sample at which a word begins."""
    position = text.find(word) if word else -1
    return None if position < 0 else position * samples // len(text)
