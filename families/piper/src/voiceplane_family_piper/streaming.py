"""Synthesis with a split voice: the text encoder runs once, flow and decoder run over windows of latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from voiceplane_family_kit.onnx_session import run
from voiceplane_family_kit.windows import WINDOWS, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_kit.onnx_session import Session, Tensors
    from voiceplane_worker.adapters.base import Samples

    from voiceplane_family_piper.graph import SplitGraph

# The flow has the wider context, so it runs ahead of the decoder in steps of this many windows.
FLOW_LEAD = 2


class SplitVoice:
    """A voice whose graph has been cut; its methods may run on several threads at once."""

    def __init__(self, graph: SplitGraph, *, encoder: Session, flow: Session, decoder: Session) -> None:
        self._prior = graph.prior
        self._latents = graph.latents
        self._flow_context = graph.flow.context
        self._decoder_context = graph.decoder.context
        self._encoder = encoder
        self._flow = flow
        self._decoder = decoder

    def synthesize(self, inputs: Tensors) -> Iterator[Samples]:
        """Yield the audio of one sentence, in windows."""
        yield from self.decode(self.encode(inputs))

    def encode(self, inputs: Tensors) -> Tensors:
        """Everything that the windows are cut from: the sampled prior, its mask, and what a speaker adds."""
        return inputs | run(self._encoder, inputs)

    def decode(self, encoded: Tensors) -> Iterator[Samples]:
        """Yield the audio in windows; equal to decode_whole, in pieces."""
        total = encoded[self._prior].shape[-1]
        ready = encoded[self._prior][..., :0]  # the latents that the flow has made
        for start, end in windows(total):
            wanted = min(end + self._decoder_context, total)
            if wanted > ready.shape[-1]:
                ahead = wanted if start == 0 else min(max(wanted, end + FLOW_LEAD * (end - start)), total)
                ready = np.concatenate([ready, self._bend(encoded, ready.shape[-1], ahead)], axis=-1)
            left = max(start - self._decoder_context, 0)
            audio = self._decode(encoded, ready[..., left:wanted])
            samples_per_latent = audio.shape[-1] // (wanted - left)
            yield audio[(start - left) * samples_per_latent : (end - left) * samples_per_latent]

    def decode_whole(self, encoded: Tensors) -> Samples:
        """The audio in one step."""
        return self._decode(encoded, self._bend(encoded, 0, encoded[self._prior].shape[-1]))

    def agrees_with_itself(self, inputs: Tensors) -> bool:
        """Whether windows give what one step gives; they do not if something mixes latents in an unknown way."""
        encoded = self.encode(inputs)
        total = encoded[self._prior].shape[-1]
        # Long enough that some window has its whole context on both sides, and some has a neighbour that has not.
        times = -(-(2 * (self._flow_context + self._decoder_context) + sum(WINDOWS)) // total)
        repeated = {
            name: np.concatenate([tensor] * times, axis=-1) if tensor.shape[-1] == total else tensor
            for name, tensor in encoded.items()
        }
        whole = self.decode_whole(repeated)
        pieces = list(self.decode(repeated))
        joined = np.concatenate(pieces)
        return len(pieces) > 1 and joined.shape == whole.shape and bool(np.allclose(joined, whole, atol=1e-5, rtol=0))

    def _bend(self, encoded: Tensors, start: int, end: int) -> Samples:
        """The flow's output from start to end; the array has the shape (1, channels, end - start)."""
        total = encoded[self._prior].shape[-1]
        left, right = max(start - self._flow_context, 0), min(end + self._flow_context, total)
        window = {
            name: np.ascontiguousarray(tensor[..., left:right]) if tensor.shape[-1] == total else tensor
            for name, tensor in encoded.items()
        }
        bent: Samples = run(self._flow, window)[self._latents][..., start - left : end - left]
        return bent

    def _decode(self, encoded: Tensors, latents: Samples) -> Samples:
        (audio,) = run(self._decoder, encoded | {self._latents: np.ascontiguousarray(latents)}).values()
        samples: Samples = audio.reshape(-1)
        return samples


class WholeVoice:
    """A voice that can't be split: a sentence is one step."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def synthesize(self, inputs: Tensors) -> Iterator[Samples]:
        """Yield the audio of one sentence, in one chunk."""
        yield next(iter(run(self._session, inputs).values())).reshape(-1)
