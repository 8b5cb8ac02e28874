"""A loaded Spark-TTS: it writes a text's semantic tokens one by one, and gives out sound meanwhile."""

from __future__ import annotations

import math
import secrets
import threading
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from voiceplane_common.errors import invalid, not_found
from voiceplane_family_kit.time_stretch import at_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_memory

from voiceplane_family_spark.codec import CodecStream
from voiceplane_family_spark.vocabulary import plain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from voiceplane_worker.adapters.base import Piece, Samples

    from voiceplane_family_spark.voices import Maker, SpokenVoice

# A process owns one device: one word or window is computed at a time, whoever it is for.
_device = threading.Lock()


class SparkModel:
    """The voices of a pack, and the models that speak with them."""

    def __init__(self, maker: Maker, voices: dict[str, SpokenVoice], *, sample_rate_hz: int, memory_bytes: int) -> None:
        """Prepare.

        Args:
            maker: Has made the voices.
            voices: By their names, in the pack's order.
            sample_rate_hz: Of the codec.
            memory_bytes: What is in memory.
        """
        self.sample_rate_hz = sample_rate_hz
        self.memory_bytes = memory_bytes
        self.voices = tuple(Voice(name=voice.name, language=voice.language) for voice in maker.pack.metadata.voices)
        self._options = maker.options
        self._tokens_per_s = sample_rate_hz / maker.codec.token_samples
        self._parts: Maker | None = maker
        self._spoken = voices
        self._words = maker.language_model.words([*maker.vocabulary.semantic, *maker.vocabulary.ends])

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio in chunks; see Model.synthesize. Between two chunks, mostly one word is written."""
        voice = self._spoken.get(piece.voice)
        if voice is None:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._spoken)}")
        text = plain(piece.text)
        if any(character.isalnum() for character in text):
            yield from at_speed(self._speak(text, voice), speed=piece.speed, sample_rate_hz=self.sample_rate_hz)

    def close(self) -> None:
        """Free the weights; see Model.close."""
        self._parts = None
        self._spoken = {}
        del self._words
        release_memory()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _speak(self, text: str, voice: SpokenVoice) -> Generator[Samples]:
        if (parts := self._parts) is None:
            raise RuntimeError("the model is closed")
        seed = secrets.randbits(63) if self._options.seed is None else self._options.seed
        writing = parts.language_model.begin(seed=seed, options=self._options)
        stream = CodecStream(parts.codec, voice.speaker, look_ahead_tokens=self._options.look_ahead_tokens)
        following = voice.prompt.of(text, parts.vocabulary)
        room = parts.language_model.most_tokens - len(following)
        if room <= 0:
            raise invalid("text", f"text of {len(text)} characters is too long for this model: make it shorter")
        semantic = parts.vocabulary.semantic
        for _ in range(min(room, self._most_tokens(text))):
            with _turn():
                writing.read(following)
                token = writing.draw(self._words)
                if token >= len(semantic):  # one of the ends
                    break
                samples = stream.push(token)
            if samples.size:
                yield samples
            following = [semantic[token]]
        with _turn():
            samples = stream.finish()
        if samples.size:
            yield samples

    def _most_tokens(self, text: str) -> int:
        characters = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
        longest_ms = self._options.longest_ms_besides + self._options.longest_ms_per_character * characters
        return max(1, math.ceil(longest_ms / 1000 * self._tokens_per_s))


@contextmanager
def _turn() -> Generator[None]:
    """The device, for one step."""
    with _device, torch.inference_mode():
        yield
