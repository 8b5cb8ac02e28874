"""A loaded XTTS: pieces of text become latents, one after the other, and those become sound while more are computed."""

from __future__ import annotations

import itertools
import math
import secrets
from typing import TYPE_CHECKING, Any

import torch
from voiceplane_common.errors import not_found
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_memory
from voiceplane_worker.adapters.options import read_options

from voiceplane_family_xtts.generation import Generation, Sampling
from voiceplane_family_xtts.options import XttsOptions
from voiceplane_family_xtts.text import TextReader
from voiceplane_family_xtts.vocoder import FRAME_SAMPLES, REACH_FRAMES, VocoderStream, frames_per_latent
from voiceplane_family_xtts.voices import Conditioning, voices_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_xtts.text import Part

# The first chunk leaves when there is so much of it; later ones are of so many latents, some 0.37 s. Larger ones would
# spare the vocoder a few neighbours, and let a STOP and other streams wait for longer.
FIRST_MS = 100
LATENTS = 8
UNCERTAIN_FRAMES = 3  # which depend on the next latent, besides those within the vocoder's reach


class XttsModel:
    """A loaded model with its voices. All state of an utterance is its own, so several may speak at once."""

    def __init__(self, model: Any, config: Any, pack: VoicePack, *, languages: list[str]) -> None:
        """Prepare; computes a cloned voice.

        Args:
            model: The library's Xtts, on its device.
            config: Its XttsConfig.
            pack: Says which voices, and how they speak.
            languages: The model's, as config.json names them.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
        """
        self._options = read_options(XttsOptions, pack)
        self._sampling = Sampling(
            **{name: _or(getattr(self._options, name), getattr(config, name)) for name in Sampling.__annotations__}
        )
        self._model: Any = model
        most_tokens = config.model_args.gpt_max_text_tokens - 1  # the library asserts that there are fewer
        self._reader = TextReader(model.tokenizer, languages=languages, most_tokens=most_tokens)
        self._voices = voices_of(pack, model, config, languages=self._reader.languages)
        self.sample_rate_hz: int = config.audio.output_sample_rate
        self._latents_per_s: float = config.audio.sample_rate / config.model_args.gpt_code_stride_len
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        tensors = itertools.chain(model.parameters(), model.buffers())
        self.memory_bytes: int = pack.metadata.memory_bytes or sum(tensor.nbytes for tensor in tensors)

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio in chunks of a few latents; see Model.synthesize."""
        voice = self._voices.get(piece.voice)
        if voice is None:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._voices)}")
        for part in self._reader.parts(piece.text, language=piece.language):
            yield from self._speak(part, voice, speed=piece.speed)

    def close(self) -> None:
        """Free the weights; see Model.close."""
        device = self._model.device
        self._model = None
        self._voices = {}
        release_memory()
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _speak(self, part: Part, voice: Conditioning, *, speed: float) -> Iterator[Samples]:
        if (model := self._model) is None:
            raise RuntimeError("the model is closed")
        decoder = model.hifigan_decoder
        generation = Generation(
            model.gpt,
            conditioning=voice.latent,
            text=part.tokens,
            sampling=self._sampling,
            seed=secrets.randbits(63) if self._options.seed is None else self._options.seed,
            limit=self._most_latents(part),
        )
        vocoder = VocoderStream(decoder, voice.embedding, speed=speed)
        first_frames = FIRST_MS / 1000 * self.sample_rate_hz / FRAME_SAMPLES + REACH_FRAMES + UNCERTAIN_FRAMES
        count = math.ceil(first_frames / frames_per_latent(decoder, speed))
        while not generation.ended:
            samples = vocoder.push(generation.advance(count), last=generation.ended)
            if samples.size:
                yield samples
            count = LATENTS

    def _most_latents(self, part: Part) -> int:
        longest_ms = self._options.longest_ms_besides + self._options.longest_ms_per_character * part.characters
        return max(1, math.ceil(longest_ms / 1000 * self._latents_per_s))


def _or(given: float | None, otherwise: float) -> Any:
    return otherwise if given is None else given
