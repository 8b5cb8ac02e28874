"""How codes are drawn: as the library does, but from random numbers that belong to one utterance.

The library draws from torch's random numbers of the whole process. Streams that run at once would then disturb each
other, and a seed would say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from parler_tts.logits_processors import ParlerTTSLogitsProcessor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

if TYPE_CHECKING:
    from transformers import GenerationConfig


class Sampling:
    """What a model's generation_config.json and a pack's options say of the sampling.

    Attributes:
        config: What generate() is to be called with: it takes the best code, and the best one is the one drawn.
    """

    def __init__(self, model: Any, *, temperature: float | None, top_k: int | None) -> None:
        """Read.

        Args:
            model: A ParlerTTSForConditionalGeneration; its generation_config is read.
            temperature: Instead of the model's.
            top_k: Instead of the model's.
        """
        published: GenerationConfig = model.generation_config
        self._codebooks: int = model.decoder.num_codebooks
        self._device: torch.device = model.device
        self._temperature: float = temperature or published.temperature or 1.0
        self._top_k: int = top_k or published.top_k or 0
        self._top_p: float = published.top_p or 1.0
        self._by_chance: bool = published.do_sample
        self.config: GenerationConfig = type(published).from_dict(
            published.to_dict()
            | {
                "do_sample": False,
                "temperature": 1.0,
                "top_k": 50,
                "top_p": 1.0,
                # Some keep one cache in the model, which a second utterance would empty under the first.
                "cache_implementation": None,
                "return_dict_in_generate": False,
                "suppress_tokens": _marks_but_the_end(model),
            }
        )

    def processors(self, *, seed: int) -> Any:
        """The logits processors of one utterance."""
        end: int = self.config.eos_token_id
        processors = LogitsProcessorList([ParlerTTSLogitsProcessor(end, self._codebooks, 1, self._device)])
        if not self._by_chance:
            return processors
        if self._temperature != 1.0:
            processors.append(TemperatureLogitsWarper(self._temperature))
        if self._top_k:
            processors.append(TopKLogitsWarper(self._top_k))
        if self._top_p < 1.0:
            processors.append(TopPLogitsWarper(self._top_p))
        processors.append(_Draw(torch.Generator(self._device).manual_seed(seed)))
        return processors


class _Draw:
    """Scores of which the best is drawn by chance: what torch.multinomial does, with random numbers of our own."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        probabilities = torch.softmax(scores, dim=-1)
        return probabilities / torch.empty_like(probabilities).exponential_(generator=self._generator)


def _marks_but_the_end(model: Any) -> list[int]:
    """Codes that are neither sound nor the end. A trained model hardly ever draws one; the codec has none of them."""
    marks = range(model.audio_encoder.config.codebook_size, model.config.decoder.vocab_size)
    return [mark for mark in marks if mark != model.generation_config.eos_token_id]
