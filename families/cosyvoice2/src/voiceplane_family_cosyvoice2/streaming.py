"""One utterance: speech tokens come one by one, and every few of them become sound.

The library's own streaming runs the language model in a thread of its own, looks every 100 ms whether there is enough,
waits for a second of speech, and keeps all utterances' state in dictionaries of the model. Here the tokens are computed
when the next sound is asked for, the first part is short, and an utterance has its state for itself.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from voiceplane_worker.adapters.base import Samples

    from voiceplane_family_cosyvoice2.parts import Parts
    from voiceplane_family_cosyvoice2.turns import Turns
    from voiceplane_family_cosyvoice2.voices import Prompt

KEPT_FRAMES = 8
"""Mel frames at the end of a part that are made once more with the next one: the vocoder looks ahead."""


def boundaries(*, first: int, chunk: int, before: int) -> Iterator[int]:
    """After how many speech tokens a part ends.

    Each part is at most twice as long as the one before, so that a model twice as fast as speech does not fall behind.
    From the size on with which the flow was trained, parts end where its chunks do, which count from the prompt: there
    the frames are those that the whole would have.

    Args:
        first: Tokens of the first part.
        chunk: Tokens of a chunk of the flow.
        before: Tokens of the prompt.
    """
    hop, end = min(first, chunk), first
    while True:
        yield end
        hop = min(2 * hop, chunk)
        end += hop
        if hop == chunk:
            end = round((before + end) / chunk) * chunk - before


class Speech:
    """The state of one utterance."""

    def __init__(
        self, parts: Parts, prompt: Prompt, text: torch.Tensor, *, turns: Turns, first_tokens: int, most_tokens: int
    ) -> None:
        """Prepare; nothing is computed.

        Args:
            parts: The models.
            prompt: The voice.
            text: Text tokens, shape (1, n).
            turns: The utterance's, on the device.
            first_tokens: Speech tokens of the first part.
            most_tokens: Speech tokens after which it ends in any case.
        """
        self._parts = parts
        self._prompt = prompt
        self._text = text
        self._turns = turns
        self._most_tokens = most_tokens
        self._boundaries = boundaries(first=first_tokens, chunk=parts.chunk_tokens, before=prompt.tokens.shape[1])
        self._vocoder = _Vocoder(parts)
        self._tokens: list[int] = []
        self._rendered = 0

    def chunks(self) -> Generator[Samples]:
        """Yield the sound, about one token's at a time: while one is listened to, the next token is computed."""
        ready: deque[Samples] = deque()
        end = next(self._boundaries)
        with contextlib.closing(self._generate()) as tokens:
            while self._next(tokens):
                if len(self._tokens) == end + self._parts.flow.pre_lookahead_len:
                    ready.extend(self._render(end))
                    end = next(self._boundaries)
                if ready:
                    yield ready.popleft()
        yield from ready
        if self._tokens:
            yield from self._render(None)

    def _generate(self) -> Any:
        """The language model's generator of speech tokens; each step of it is one token."""
        prompt, text = self._prompt, self._text
        return self._parts.llm.inference(
            text=text,
            text_len=_length(text),
            prompt_text=prompt.text,
            prompt_text_len=_length(prompt.text),
            prompt_speech_token=prompt.said,
            prompt_speech_token_len=_length(prompt.said),
            embedding=prompt.embedding,
        )

    def _next(self, tokens: Iterator[int]) -> bool:
        if len(self._tokens) == self._most_tokens:
            return False
        with self._turns.take():
            token = next(tokens, None)
        if token is not None:
            self._tokens.append(token)
        return token is not None

    def _render(self, end: int | None) -> list[Samples]:
        """The sound up to a token, for which those after it are looked at; None: all that is left."""
        parts, prompt = self._parts, self._prompt
        with self._turns.take():
            tokens = torch.tensor([self._tokens], dtype=torch.int32, device=parts.device)
            frames, _ = parts.flow.inference(
                token=tokens,
                token_len=_length(tokens),
                prompt_token=prompt.tokens,
                prompt_token_len=_length(prompt.tokens),
                prompt_feat=prompt.frames,
                prompt_feat_len=_length(prompt.frames),
                embedding=prompt.embedding,
                streaming=True,  # also for the last part: it goes on from those before
                finalize=end is None,
            )
            frames = frames[:, :, self._rendered * parts.flow.token_mel_ratio :]
            samples = self._vocoder.push(frames, final=end is None)
        self._rendered = len(self._tokens) if end is None else end
        size = parts.frame_samples * parts.flow.token_mel_ratio
        return [samples[start : start + size] for start in range(0, samples.size, size)]


class _Vocoder:
    """The vocoder's state within one utterance. It hears the last frames of a part again, and blends over them."""

    def __init__(self, parts: Parts) -> None:
        self._hift = parts.hift
        self._kept = KEPT_FRAMES * parts.frame_samples
        self._frames: torch.Tensor | None = None
        self._source = torch.zeros(1, 1, 0, device=parts.device)
        self._held = np.zeros(0, dtype=np.float32)
        self._rise = np.sin(np.linspace(0.0, np.pi / 2, self._kept, endpoint=False, dtype=np.float32)) ** 2

    def push(self, frames: torch.Tensor, *, final: bool) -> Samples:
        """The samples that new mel frames, of the shape (1, 80, n), make certain."""
        frames = frames.float()
        if self._frames is not None:
            frames = torch.cat([self._frames, frames], dim=2)
        with torch.autocast(frames.device.type, enabled=False):
            output, source = self._hift.inference(speech_feat=frames, cache_source=self._source)
        samples: Samples = output[0].float().cpu().numpy()
        if self._held.size:
            blended = samples[: self._kept] * self._rise + self._held * (1.0 - self._rise)
            samples = np.concatenate([blended, samples[self._kept :]])
        if final:
            return samples
        self._frames, self._source = frames[:, :, -KEPT_FRAMES:], source[:, :, -self._kept :]
        self._held = samples[-self._kept :]
        return samples[: -self._kept]


def _length(tensor: torch.Tensor) -> torch.Tensor:
    return torch.tensor([tensor.shape[1]], dtype=torch.int32, device=tensor.device)
