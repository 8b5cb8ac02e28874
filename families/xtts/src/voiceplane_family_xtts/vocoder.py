"""The vocoder of XTTS as a stream: the GPT's latents in, the samples that the whole decode gives out.

The library decodes all of an utterance's latents again for each chunk, and fades from one result to the next. Here each
latent is decoded once, beside as many neighbours as the network reaches, so the joints are those of the whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

# How far the network reaches, in frames; most of it in the widest of the residual blocks behind the first upsampling.
# The library builds this one network, whatever a model's configuration says of the rest.
REACH_FRAMES = 13
FRAME_SAMPLES = 256  # what its four upsamplings, by 8, 8, 2 and 2, make of a frame


class VocoderStream:
    """The vocoder's state within one utterance."""

    def __init__(self, decoder: Any, embedding: torch.Tensor, *, speed: float) -> None:
        """Begin.

        Args:
            decoder: The library's HifiDecoder.
            embedding: The speaker's, of shape (1, channels, 1).
            speed: 2.0 is twice as fast.
        """
        self._network = decoder.waveform_decoder
        self._embedding = embedding
        self._stretches = [Stretch(scale) for scale in _scales(decoder, speed) if scale != 1.0]
        self._frames: torch.Tensor | None = None
        self._spoken = 0  # frames of those that have been decoded, and are kept as neighbours

    def push(self, latents: torch.Tensor, *, last: bool) -> Samples:
        """The samples that new latents make certain.

        Args:
            latents: Shape (count, channels), at least one.
            last: Whether no more will come: all the rest is given out then.

        Returns:
            Samples at the decoder's rate, within -1 to 1; possibly none.
        """
        with torch.inference_mode():
            samples: Samples = self._decode(latents.transpose(0, 1), last=last).cpu().numpy()
        return samples

    def _decode(self, values: torch.Tensor, *, last: bool) -> torch.Tensor:
        for stretch in self._stretches:
            values = stretch.push(values, last=last)
        frames = values if self._frames is None else torch.cat([self._frames, values], dim=1)
        until = frames.shape[1] - (0 if last else REACH_FRAMES)
        if until <= self._spoken:
            self._frames = frames
            return frames.new_zeros(0)
        samples: torch.Tensor = self._network(frames[None], g=self._embedding)[0, 0]
        result = samples[self._spoken * FRAME_SAMPLES : until * FRAME_SAMPLES]
        self._spoken, first = min(until, REACH_FRAMES), max(until - REACH_FRAMES, 0)
        self._frames = frames[:, first:]
        return result


class Stretch:
    """torch's linear interpolation by a factor, of a sequence that comes in parts."""

    def __init__(self, scale: float) -> None:
        """Begin.

        Args:
            scale: How many values come out for each that goes in.
        """
        self._scale = scale
        self._kept: torch.Tensor | None = None
        self._start = 0  # the place of the first kept value in the sequence
        self._given = 0

    def push(self, values: torch.Tensor, *, last: bool) -> torch.Tensor:
        """The values that no later ones change.

        Args:
            values: Shape (channels, count).
            last: Whether no more will come.
        """
        kept = values if self._kept is None else torch.cat([self._kept, values], dim=1)
        received = self._start + kept.shape[1]
        # Value n lies between two that went in, at the place (n + 0.5) / scale - 0.5. At both ends it is the one there.
        until = math.floor(received * self._scale)
        if not last:
            until = max(self._given, math.ceil((received - 0.5) * self._scale - 0.5))
        places = (torch.arange(self._given, until, dtype=torch.float64) + 0.5) / self._scale - 0.5
        places = places.clamp(min=0.0)
        before = places.floor().long()
        after = (before + 1).clamp(max=received - 1)
        share = (places - before).to(kept)
        before, after = ((index - self._start).to(kept.device) for index in (before, after))
        result = kept[:, before] * (1.0 - share) + kept[:, after] * share
        self._given = until
        needed = max(0, math.floor((until + 0.5) / self._scale - 0.5))
        drop = min(max(0, needed - self._start), kept.shape[1])
        self._kept, self._start = kept[:, drop:], self._start + drop
        return result


def frames_per_latent(decoder: Any, speed: float) -> float:
    """How many frames of the vocoder's input one latent becomes."""
    return math.prod(_scales(decoder, speed))


def _scales(decoder: Any, speed: float) -> tuple[float, float, float]:
    """What the latents are stretched by, one after the other: rounding makes that another thing than once by all."""
    return (
        1.0 / speed,
        decoder.ar_mel_length_compression / decoder.output_hop_length,
        decoder.output_sample_rate / decoder.input_sample_rate,
    )
