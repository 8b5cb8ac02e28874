"""Spark's language model, a Qwen2, word by word: each utterance has its own keys and values, and random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers.cache_utils import DynamicCache

if TYPE_CHECKING:
    from voiceplane_family_spark.options import SparkOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words of which one may come next, and nothing else.

    Attributes:
        ids: Their token ids, shape (n,).
        head: The rows of the model's head that score them, shape (n, width).
    """

    ids: torch.Tensor
    head: torch.Tensor


class LanguageModel:
    """A loaded Qwen2ForCausalLM; use it under torch.inference_mode()."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device: torch.device = model.device
        self.most_tokens: int = model.config.max_position_embeddings

    def words(self, ids: list[int]) -> Words:
        """A choice of words. Only they are scored, which spares most of the head's work."""
        chosen = torch.tensor(ids, device=self.device)
        return Words(ids=chosen, head=self._model.lm_head.weight.detach()[chosen])

    def begin(self, *, seed: int, options: SparkOptions) -> Writing:
        """Begin an utterance.

        Args:
            seed: Of its random numbers.
            options: Say how to sample.
        """
        return Writing(self._model.model, seed=seed, options=options)


class Writing:
    """What is being written for one utterance."""

    def __init__(self, decoder: Any, *, seed: int, options: SparkOptions) -> None:
        self._decoder = decoder
        self._options = options
        self._cache = DynamicCache(config=decoder.config)
        self._random = torch.Generator(decoder.device).manual_seed(seed)
        self._last = torch.empty(0)  # what the model thinks after what it has read

    def read(self, ids: list[int]) -> None:
        """Let the model read on; the next word follows the last of these."""
        tokens = torch.tensor([ids], device=self._decoder.device)
        output = self._decoder(input_ids=tokens, cache=self._cache, use_cache=True)
        self._last = output.last_hidden_state[0, -1]

    def draw(self, words: Words) -> int:
        """The place of the next word among those that may come. It has to be read to go on."""
        scores = functional.linear(self._last, words.head).float() / self._options.temperature
        scores, places = torch.topk(scores, min(self._options.top_k, scores.numel()))
        shares = scores.softmax(dim=-1)
        shares[shares.cumsum(dim=-1) - shares >= self._options.top_p] = 0.0
        return int(places[torch.multinomial(shares, 1, generator=self._random)])
