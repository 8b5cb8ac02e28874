"""Mimi, the codec of CSM, as a stream: frames of codes in, the samples that the whole decode gives out.

transformers decodes a whole utterance. Frame by frame it would click, since every layer starts with zeros again.
Mimi's decoder is causal, so here each layer keeps what it needs of the past: its convolutions the inputs that their
kernels reach back to, its transformer the keys and values within its window. Nothing is computed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache
from transformers.models.mimi.modeling_mimi import MimiConv1d, MimiConvTranspose1d, MimiResnetBlock

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples


class NotCausalError(Exception):
    """A codec whose samples depend on later frames; it can't be streamed."""


def check_causal(codec: Any) -> None:
    """Refuse a codec that this module can't stream.

    Args:
        codec: A MimiModel.

    Raises:
        NotCausalError: Names the setting.
    """
    wanted = {"use_causal_conv": True, "trim_right_ratio": 1.0, "pad_mode": "constant"}
    for name, value in wanted.items():
        if (found := getattr(codec.config, name)) != value:
            raise NotCausalError(f"codec_config.{name} is {found!r}, and only {value!r} can be streamed")


class CodecStream:
    """The decoder's state within one utterance. Use it under torch.inference_mode()."""

    def __init__(self, codec: Any) -> None:
        """Begin.

        Args:
            codec: A MimiModel that check_causal accepts.
        """
        self._codec = codec
        self._cache = DynamicCache(config=codec.decoder.config)
        self._past: dict[Any, torch.Tensor] = {}

    def decode(self, codes: torch.Tensor) -> Samples:
        """The samples of the next frames.

        Args:
            codes: Shape (codebooks, frames), int64, on the codec's device.

        Returns:
            Samples at the codec's rate, within -1 to 1: codes of frames times 1,920 for Mimi as published.
        """
        decoder = self._codec.decoder
        hidden = self._codec.quantizer.decode(codes[None])
        if decoder.upsample is not None:
            hidden = self._through(decoder.upsample, hidden)
        hidden = decoder.decoder_transformer(
            hidden.transpose(1, 2), cache=self._cache, use_cache=True
        ).last_hidden_state.transpose(1, 2)
        for layer in decoder.decoder_seanet.layers:
            hidden = self._through(layer, hidden)
        samples: Samples = hidden[0, 0].float().clamp(-1.0, 1.0).cpu().numpy().astype(np.float32, copy=False)
        return samples

    def _through(self, layer: Any, hidden: torch.Tensor) -> torch.Tensor:
        """A layer's output for new inputs of the shape (1, channels, steps)."""
        if isinstance(layer, MimiConv1d):
            reach = layer.conv.dilation[0] * (layer.conv.kernel_size[0] - 1)
            return self._convolve(layer, self._with_past(layer, hidden, reach))
        if isinstance(layer, MimiConvTranspose1d):
            kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            reach = -(-kernel // stride) - 1
            output = self._convolve(layer, self._with_past(layer, hidden, reach))
            return output[..., reach * stride : (reach + hidden.shape[-1]) * stride]
        if isinstance(layer, MimiResnetBlock):
            output = hidden
            for inner in layer.block:
                output = self._through(inner, output)
            return self._through(layer.shortcut, hidden) + output
        result: torch.Tensor = layer(hidden)
        return result

    @staticmethod
    def _convolve(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = layer.conv(hidden)
        return result

    def _with_past(self, layer: Any, hidden: torch.Tensor, reach: int) -> torch.Tensor:
        """New inputs behind as many earlier ones as a kernel reaches back to; zeros before the first."""
        past = self._past.get(layer)
        if past is None:
            past = hidden.new_zeros((*hidden.shape[:-1], reach))
        joined = torch.cat([past, hidden], dim=-1)
        self._past[layer] = joined[..., joined.shape[-1] - reach :]
        return joined
