"""DAC, the codec of Parler-TTS, in windows: samples of some frames, which equal those of the whole.

The decoder is made of convolutions that look to both sides. How far follows from their kernels; so much context on each
side, and a window's samples are the whole's. A chunk's compute then does not grow with what has been spoken before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

_SOMEWHERE = 1_000  # a frame in the middle of a long stream


class NotWindowedError(Exception):
    """A codec whose samples can't be computed in windows of frames."""


class WindowedCodec:
    """The decoder of a Parler-TTS model's codec. Use it under torch.inference_mode(); it keeps no state.

    Attributes:
        frame_samples: Samples of one frame.
        context_frames: What a frame's samples depend on, to each side.
        sample_rate_hz: Of the samples.
        codebook_size: Codes from here on are marks, and no sound.
    """

    def __init__(self, model: Any) -> None:
        """Take the codec of a model.

        Args:
            model: A ParlerTTSForConditionalGeneration.

        Raises:
            NotWindowedError: It can't be streamed.
        """
        self._codec = model.audio_encoder
        # Descript's own DAC in the library's wrapper takes a dimension for chunks, and scales that it does not use.
        self._chunked: bool = model.use_4dim_audio_codes
        self._more: dict[str, Any] = {"audio_scales": [None]} if model.use_audio_scales else {}
        self.sample_rate_hz: int = self._codec.config.sampling_rate
        self.codebook_size: int = self._codec.config.codebook_size
        self.frame_samples, self.context_frames = _reach_of(_inner(self._codec).decoder)

    def decode(self, codes: torch.Tensor, *, skip: int, frames: int) -> Samples:
        """The samples of some frames.

        Args:
            codes: Of shape (codebooks, frames): the frames that are asked for, with `context_frames` to both sides
                unless the speech begins or ends there.
            skip: How many of them stand before those that are asked for.
            frames: How many are asked for.
        """
        codes = codes.to(self._codec.device)[None]
        audio = self._codec.decode(audio_codes=codes[None] if self._chunked else codes, **self._more).audio_values
        window = audio.reshape(-1)[skip * self.frame_samples :][: frames * self.frame_samples]
        samples: Samples = window.float().clamp(-1.0, 1.0).cpu().numpy().astype(np.float32, copy=False)
        return samples


def keep_the_decoder(codec: Any) -> None:
    """Free what only the encoding of sound needs, and fold the norms of weights, computed by each call otherwise."""
    _inner(codec).encoder = None
    for module in codec.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def _inner(codec: Any) -> Any:
    """What holds the encoder, the quantizer and the decoder: transformers' DacModel itself, or the wrapped DAC."""
    return codec.model if hasattr(codec, "model") else codec


def _reach_of(decoder: torch.nn.Module) -> tuple[int, int]:
    """Samples of a frame, and how many frames to each side they depend on.

    Raises:
        NotWindowedError: A layer changes the length otherwise than by its stride.
    """
    layers = [layer for layer in decoder.modules() if isinstance(layer, (torch.nn.Conv1d, torch.nn.ConvTranspose1d))]
    frame_samples = 1
    for layer in layers:
        kernel, stride, padding, dilation = _shape_of(layer)
        turned = isinstance(layer, torch.nn.ConvTranspose1d)
        lost = dilation * (kernel - 1) + 1 - 2 * padding - (stride if turned else 1)
        if lost or (stride > 1 and not turned):
            raise NotWindowedError(
                f"a layer of the codec's decoder ({layer}) does not keep the time: it can't be streamed"
            )
        frame_samples *= stride
    first, last = _SOMEWHERE * frame_samples, (_SOMEWHERE + 1) * frame_samples - 1
    for layer in reversed(layers):
        kernel, stride, padding, dilation = _shape_of(layer)
        if isinstance(layer, torch.nn.ConvTranspose1d):
            first, last = -((kernel - 1 - first - padding) // stride), (last + padding) // stride
        else:
            first, last = first - padding, last + dilation * (kernel - 1) - padding
    return frame_samples, max(_SOMEWHERE - first, last - _SOMEWHERE)


def _shape_of(layer: Any) -> tuple[int, int, int, int]:
    return layer.kernel_size[0], layer.stride[0], layer.padding[0], layer.dilation[0]
