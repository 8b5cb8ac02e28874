"""The GPT of XTTS, token by token, with all state of an utterance in one object.

The library's own generator keeps an utterance's prompt in the model, so two at once would speak each other's; it draws
from the process's random numbers, and holds every layer's values of every token. The tokens here are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

# What the library puts in a text's place when it counts what was said before, for the repetition penalty.
PLACEHOLDER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float


class Generation:
    """The speech of one text, in latents of which each is some 46 ms.

    Attributes:
        ended: Whether the last latent has been computed.
    """

    def __init__(
        self, gpt: Any, *, conditioning: torch.Tensor, text: list[int], sampling: Sampling, seed: int, limit: int
    ) -> None:
        """Begin; nothing is computed yet.

        Args:
            gpt: The library's GPT.
            conditioning: The voice, of shape (1, count, channels).
            text: The text's tokens.
            sampling: How tokens are drawn.
            seed: Of the random numbers, which are this utterance's own.
            limit: How many latents there may be, at most.
        """
        self._gpt = gpt
        self._conditioning = conditioning
        self._text = text
        self._warp = LogitsProcessorList(
            [
                RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
                TemperatureLogitsWarper(sampling.temperature),
                TopKLogitsWarper(sampling.top_k),
                TopPLogitsWarper(sampling.top_p),
            ]
        )
        device = conditioning.device
        self._random = torch.Generator(device).manual_seed(seed)
        self._said = torch.tensor([[PLACEHOLDER, gpt.start_audio_token]], device=device)
        self._cache = DynamicCache()
        self._count = 0
        self._limit = min(limit, gpt.max_gen_mel_tokens)
        self.ended = False

    def advance(self, count: int) -> torch.Tensor:
        """Compute the next latents.

        Args:
            count: How many; fewer come if the speech ends before, but one at least.

        Returns:
            Shape (count, channels).
        """
        with torch.inference_mode():
            latents = [self._step()]
            while len(latents) < count and not self.ended:
                latents.append(self._step())
            return torch.cat(latents)

    def _step(self) -> torch.Tensor:
        """Compute a latent, and from it draw the next token."""
        gpt = self._gpt
        inputs = self._next_inputs() if self._count else self._prompt()
        hidden = gpt.gpt(inputs_embeds=inputs, past_key_values=self._cache, use_cache=True).last_hidden_state
        latent: torch.Tensor = gpt.final_norm(hidden[:, -1])
        scores = self._warp(self._said, gpt.mel_head(latent).float())
        token = torch.multinomial(scores.softmax(dim=-1), num_samples=1, generator=self._random)
        self._said = torch.cat([self._said, token], dim=1)
        self._count += 1
        self.ended = self._count >= self._limit or int(token) == gpt.stop_audio_token
        return latent

    def _prompt(self) -> torch.Tensor:
        """The voice, the text, and the mark at which speech begins."""
        gpt = self._gpt
        text = torch.tensor([self._text], device=self._said.device)
        text = functional.pad(text, (1, 0), value=gpt.start_text_token)
        text = functional.pad(text, (0, 1), value=gpt.stop_text_token)
        text = gpt.text_embedding(text) + gpt.text_pos_embedding(text)
        return torch.cat([self._conditioning, text, self._next_inputs()], dim=1)

    def _next_inputs(self) -> torch.Tensor:
        gpt, token = self._gpt, self._said[:, -1:]
        result: torch.Tensor = gpt.mel_embedding(token)
        return result + gpt.mel_pos_embedding.get_fixed_embedding(self._count, token.device)
