"""A loaded CosyVoice 2."""

from __future__ import annotations

import math
import re
import secrets
from typing import TYPE_CHECKING

import torch
from voiceplane_common.errors import not_found
from voiceplane_family_kit.time_stretch import at_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_memory

from voiceplane_family_cosyvoice2.streaming import Speech
from voiceplane_family_cosyvoice2.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_cosyvoice2.options import CosyVoice2Options
    from voiceplane_family_cosyvoice2.parts import Parts
    from voiceplane_family_cosyvoice2.voices import Prompt

# What ends a prompt or begins a turn is not the text's to say. Sounds such as [laughter] are.
MARKS = re.compile(r"<\|[^<>|]*\|>|\0")


class CosyVoice2Model:
    """A loaded model with its voices."""

    def __init__(
        self, parts: Parts, prompts: dict[str, Prompt], pack: VoicePack, *, options: CosyVoice2Options
    ) -> None:
        """Take over.

        Args:
            parts: The models.
            prompts: By the names of the pack's voices.
            pack: Says which voices.
            options: How they speak.
        """
        self._parts: Parts | None = parts
        self._prompts = prompts
        self._options = options
        self._device = parts.device
        self.sample_rate_hz = parts.sample_rate_hz
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        held = parts.memory_bytes + sum(prompt.memory_bytes for prompt in prompts.values())
        self.memory_bytes = pack.metadata.memory_bytes or held

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio, 40 ms at a time; see Model.synthesize."""
        prompt = self._prompts.get(piece.voice)
        if prompt is None:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._prompts)}")
        text = MARKS.sub(" ", piece.text).strip()
        if not any(character.isalnum() for character in text):
            return
        yield from at_speed(self._speak(text, prompt), speed=piece.speed, sample_rate_hz=self.sample_rate_hz)

    def close(self) -> None:
        """Free the weights; see Model.close."""
        self._parts = None
        self._prompts = {}
        release_memory()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _speak(self, text: str, prompt: Prompt) -> Generator[Samples]:
        parts, options = self._parts, self._options
        if parts is None:
            raise RuntimeError("the model has been closed")
        seed = secrets.randbits(63) if options.seed is None else options.seed
        longest_ms = options.longest_ms_besides + options.longest_ms_per_character * len(text)
        longest = max(1, math.ceil(longest_ms / 1000 * parts.tokens_per_s))
        speech = Speech(
            parts,
            prompt,
            torch.tensor([parts.tokenizer.encode(text)], dtype=torch.int32, device=parts.device),
            turns=Turns(parts.device, dtype=parts.dtype, seed=seed),
            first_tokens=options.first_chunk_tokens,
            most_tokens=min(longest, parts.most_tokens - prompt.tokens.shape[1]),
        )
        yield from speech.chunks()
