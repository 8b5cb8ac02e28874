"""A resident Parler-TTS: pieces of text become codes, step by step, and those become sound in windows."""

from __future__ import annotations

import contextlib
import functools
import math
import secrets
from typing import TYPE_CHECKING

import torch
from transformers.modeling_outputs import BaseModelOutput
from voiceplane_common.errors import invalid, not_found
from voiceplane_family_kit.callback_iterator import iterate
from voiceplane_family_kit.special_tokens import without_special_tokens
from voiceplane_family_kit.time_stretch import at_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_memory

from voiceplane_family_parler.sampling import Sampling
from voiceplane_family_parler.streamer import ChunkStreamer, SpokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_parler.loading import Loaded
    from voiceplane_family_parler.options import ParlerOptions


class ParlerModel:
    """A loaded model with its voices. Utterances share its weights and nothing else, so threads may run at once."""

    def __init__(self, loaded: Loaded, pack: VoicePack, options: ParlerOptions) -> None:
        self._loaded: Loaded | None = loaded
        self._options = options
        self._device: torch.device = loaded.model.device
        self._codebooks: int = loaded.model.decoder.num_codebooks
        self._sampling = Sampling(loaded.model, temperature=options.temperature, top_k=options.top_k)
        self.sample_rate_hz: int = loaded.codec.sample_rate_hz
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        self.memory_bytes: int = pack.metadata.memory_bytes or loaded.memory_bytes

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio in chunks of 0.1 to 0.2 s; see Model.synthesize."""
        loaded = self._here()
        if piece.voice not in loaded.voices:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(loaded.voices)}")
        text = without_special_tokens(loaded.tokenizer, piece.text)
        if not any(character.isalnum() for character in text):
            return
        chunks = iterate(functools.partial(self._speak, loaded, text, piece.voice), name="parler")
        yield from at_speed(chunks, speed=piece.speed, sample_rate_hz=self.sample_rate_hz)

    def close(self) -> None:
        """Free the weights; see Model.close."""
        self._loaded = None
        release_memory()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _here(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError("the model is closed")
        return self._loaded

    def _speak(self, loaded: Loaded, text: str, voice: str, emit: Callable[[Samples], None]) -> None:
        """Generate until the end of the speech, or until emit raises."""
        prompt = loaded.tokenizer(text, return_tensors="pt").input_ids
        most_frames = self._most_frames(loaded, text, prompt)
        description = loaded.voices[voice]
        seed = secrets.randbits(63) if self._options.seed is None else self._options.seed
        with torch.inference_mode(), contextlib.suppress(SpokenError):
            loaded.model.generate(
                # A new object for each call: some models append what is to be said to it.
                encoder_outputs=BaseModelOutput(last_hidden_state=description),
                attention_mask=torch.ones(description.shape[:2], dtype=torch.long, device=self._device),
                prompt_input_ids=prompt.to(self._device),
                generation_config=self._sampling.config,
                logits_processor=self._sampling.processors(seed=seed),
                max_length=most_frames + self._codebooks,
                streamer=ChunkStreamer(loaded.codec, codebooks=self._codebooks, most_frames=most_frames, emit=emit),
            )

    def _most_frames(self, loaded: Loaded, text: str, prompt: torch.Tensor) -> int:
        """How many frames may be spoken, at most.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: the model has no room for the text, or no place for a word of it.
        """
        config = loaded.model.config
        if int(prompt.max()) >= config.vocab_size:
            raise invalid("text", "the model's tokenizer knows a word of this text that the model does not know")
        positions = config.decoder.max_position_embeddings - prompt.shape[1]
        room: int = min(positions, self._sampling.config.max_length) - self._codebooks
        # Shorter ones than the delay of the codebooks, the library would not delay.
        if room < self._codebooks:
            raise invalid("text", f"text of {len(text)} characters is too long for this model: make it shorter")
        longest_ms = self._options.longest_ms_besides + self._options.longest_ms_per_character * len(text)
        frames = math.ceil(longest_ms / 1_000 * self.sample_rate_hz / loaded.codec.frame_samples)
        return min(room, max(self._codebooks, frames))
