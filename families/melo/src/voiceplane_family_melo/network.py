"""MeloTTS's network, VITS 2: what its infer() does in one call, in steps.

Text encoder, durations and flow look at the whole text, and run once. The decoder (HiFi-GAN) takes most of the time and
consists of convolutions: a window of latents with enough context on both sides gives the samples that the whole gives.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import remove_weight_norm
from voiceplane_family_kit.windows import windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Samples

    from voiceplane_family_melo.bert import Bert
    from voiceplane_family_melo.options import MeloOptions
    from voiceplane_family_melo.text import Reading

# The library draws from the random numbers of the whole process.
_random = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a text is to be spoken.

    Attributes:
        speaker: Its number.
        speed: 2.0 is twice as fast.
        seed: Of what is drawn by chance.
    """

    speaker: int
    speed: float
    seed: int


class Network:
    """A loaded SynthesizerTrn with its BERT; it may be used on several threads.

    Attributes:
        device: Where the weights are.
        memory_bytes: What they hold.
    """

    def __init__(self, synthesizer: Any, bert: Bert | None, *, options: MeloOptions, device: torch.device) -> None:
        """Make it ready to speak.

        Args:
            synthesizer: On the CPU; it loses what only training needs.
            bert: On the device.
            options: The pack's.
            device: Where to put it.

        Raises:
            ValueError: Its decoder can't be run in windows.
        """
        del synthesizer.enc_q  # it encodes recordings
        for module in synthesizer.modules():
            with contextlib.suppress(ValueError):  # it has no such norm
                remove_weight_norm(module)  # else each call computes each weight again
        self._context = context_of(synthesizer.dec)
        self._parts = synthesizer.to(device).eval()
        self._bert = bert
        self._options = options
        self.device = device
        tensors = [*self._parts.parameters(), *(bert.network.parameters() if bert else ())]
        self.memory_bytes = sum(tensor.nbytes for tensor in tensors)

    def speak(self, reading: Reading, manner: Manner) -> Iterator[Samples]:
        """Yield the audio of a text, in windows."""
        voice, latents = self.latents(reading, manner)
        total = latents.shape[-1]
        for start, end in windows(total):
            left, right = max(start - self._context, 0), min(end + self._context, total)
            audio = self.decode(voice, latents[..., left:right])
            size = audio.size // (right - left)
            yield audio[(start - left) * size : (end - left) * size]

    def decode(self, voice: torch.Tensor, latents: torch.Tensor) -> Samples:
        """The samples of latents."""
        with torch.inference_mode():
            samples: Samples = self._parts.dec(latents, g=voice)[0, 0].float().cpu().numpy()
        return samples

    def latents(self, reading: Reading, manner: Manner) -> tuple[torch.Tensor, torch.Tensor]:
        """The speaker's embedding, and the decoder's input, of the shape (1, channels, latents)."""
        with torch.inference_mode():
            voice = self._parts.emb_g(torch.tensor([manner.speaker], device=self.device)).unsqueeze(-1)
            prior = self._prior(reading, manner, voice)
            latents = self._parts.flow(prior, torch.ones_like(prior[:, :1]), g=voice, reverse=True)
        self._forget_attention()
        return voice, latents

    def _prior(self, reading: Reading, manner: Manner, voice: torch.Tensor) -> torch.Tensor:
        """What the flow begins with: each sound's, for as long as it is spoken, with noise."""
        parts, options = self._parts, self._options
        text, mean, log_deviation, mask = self._encode(reading, None if parts.use_vc else voice)
        predicted = parts.dp(text, mask, g=voice)
        with _drawing(manner.seed):
            drawn = parts.sdp(text, mask, g=voice, reverse=True, noise_scale=options.noise_scale_w)
            log_durations = drawn * options.sdp_ratio + predicted * (1 - options.sdp_ratio)
            durations = torch.ceil(torch.exp(log_durations) * mask / manner.speed)[0, 0].long()
            places = torch.arange(durations.numel(), device=self.device).repeat_interleave(durations)
            # Its order in memory is as infer() has it, since the order decides what is drawn.
            noise = torch.randn_like(torch.empty(1, places.numel(), mean.shape[1]).transpose(1, 2)).to(self.device)
        prior: torch.Tensor = mean[..., places] + noise * torch.exp(log_deviation[..., places]) * options.noise_scale
        return prior

    def _encode(self, reading: Reading, voice: torch.Tensor | None) -> Any:
        encoder = self._parts.enc_p
        features = reading.features(self._bert, size=encoder.ja_bert_proj.in_channels, device=self.device)
        chinese = features.new_zeros(1, encoder.bert_proj.in_channels, features.shape[1])  # of a model never published
        columns = (reading.tones, reading.languages)
        tones, languages = (column[None].to(self.device) for column in columns)
        sounds = reading.sounds[None].to(self.device)
        length = torch.tensor([sounds.shape[1]], device=self.device)
        return encoder(sounds, length, tones, languages, chinese, features[None], g=voice)

    def _forget_attention(self) -> None:
        """Free the weights of attention, which each layer keeps of its last call: they grow with the text's square."""
        for module in self._parts.modules():
            if hasattr(module, "attn"):
                module.attn = None


def context_of(decoder: Any) -> int:
    """Latents on each side of a window that its samples depend on.

    Args:
        decoder: A HiFi-GAN generator.

    Raises:
        ValueError: It has a form that can't be run in windows.
    """
    reach, rate = Fraction(_reach(decoder.conv_pre)), 1
    for number, up in enumerate(decoder.ups):
        (kernel,), (stride,), (padding,) = up.kernel_size, up.stride, up.padding
        if kernel - 2 * padding != stride:
            raise ValueError(f"an upsampling of kernel {kernel} and stride {stride} does not end where the next begins")
        reach += Fraction(max(padding, kernel - 1 - padding), stride * rate)
        rate *= stride
        alternatives = [decoder.resblocks[number * decoder.num_kernels + each] for each in range(decoder.num_kernels)]
        reach += Fraction(max(map(_reach_of_block, alternatives)), rate)
    reach += Fraction(_reach(decoder.conv_post), rate)
    return -(-reach.numerator // reach.denominator)


def _reach_of_block(block: Any) -> int:
    """Of convolutions that follow one another."""
    return sum(_reach(module) for module in block.modules() if isinstance(module, torch.nn.Conv1d))


def _reach(convolution: Any) -> int:
    return int(convolution.dilation[0] * (convolution.kernel_size[0] - 1) // 2)


@contextlib.contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """What the library draws, and we do: torch's random numbers on the CPU, starting from a seed."""
    with _random:
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(before)
