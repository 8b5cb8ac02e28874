"""BiCodec's decoder, as a stream: semantic tokens in, samples out that are those of the whole, or nearly.

The decoder looks to both sides, so a token's samples depend on tokens that come later. Here it decodes windows: each
with as many earlier tokens as it can see, which changes nothing, and with some later ones. Two windows overlap by a
token and are faded into each other. What the later tokens that are not waited for would have changed is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from voiceplane_worker.adapters.base import Samples

FIRST_HOP_TOKENS = 6
# A model that is faster than speech by this runs ahead of the listener; more windows than needed cost time.
HOP_GROWTH = 1.25
MOST_HOP_TOKENS = 50
# The layers' kernels, which are no configuration of theirs: to each side, how many steps they see.
SIDE = 3
RESIDUAL_SIDE = SIDE * (1 + 3 + 9)
SAMPLING_LAYERS = 2

NOTHING: Samples = np.zeros(0, dtype=np.float32)


class NotStreamableError(Exception):
    """A codec whose windows can't be cut at tokens."""


def reach_of(config: Mapping[str, Any]) -> int:
    """How many tokens to each side a token's samples depend on.

    Args:
        config: The "audio_tokenizer" of BiCodec's config.yaml.

    Raises:
        NotStreamableError: Names the setting.
    """
    prenet, decoder = config["prenet"], config["decoder"]
    if any(ratio != 1 for ratio in prenet["sample_ratios"]):
        raise NotStreamableError(f"prenet.sample_ratios is {list(prenet['sample_ratios'])}, and only 1 can be streamed")
    steps = SIDE
    for rate, kernel in reversed(list(zip(decoder["rates"], decoder["kernel_sizes"], strict=True))):
        if (kernel - rate) % 2:
            raise NotStreamableError(f"decoder.kernel_sizes has {kernel} for the rate {rate}: not a whole step a token")
        steps = (steps + RESIDUAL_SIDE + rate - 1 + (kernel - rate) // 2) // rate
    backbones = [SAMPLING_LAYERS] * len(prenet["sample_ratios"]) + [prenet["vocos_num_layers"]]
    return int(steps + SIDE + sum(SIDE * (1 + layers) for layers in backbones))


class Codec:
    """A loaded decoder; use it under torch.inference_mode()."""

    def __init__(self, model: Any, config: Mapping[str, Any], *, device: torch.device) -> None:
        """Take it over.

        Args:
            model: flashtts's SparkDeTokenizerModel.
            config: What it was made of.
            device: Where it is.

        Raises:
            NotStreamableError: See reach_of.
        """
        self._model = model
        self._device = device
        self.reach = reach_of(config)
        self.token_samples: int = math.prod(config["decoder"]["rates"])

    def speaker(self, tokens: Sequence[int]) -> torch.Tensor:
        """What a voice's global tokens mean to the decoder; shape (1, width)."""
        indices = torch.tensor([[tokens]], device=self._device)
        speaker: torch.Tensor = self._model.speaker_encoder.detokenize(indices)
        return speaker

    def decode(self, tokens: Sequence[int], speaker: torch.Tensor) -> Samples:
        """The samples of semantic tokens, as if nothing were before and after them."""
        latents = self._model.quantizer.detokenize(torch.tensor([tokens], device=self._device))
        hidden = self._model.prenet(latents, speaker) + speaker[..., None]
        samples: Samples = self._model.decoder(hidden)[0, 0].float().cpu().numpy()
        return samples


class CodecStream:
    """The windows of one utterance.

    What a window gives is handed out evenly until the next one is due, so that between two chunks a single word is
    written, for which a STOP and other utterances wait.
    """

    def __init__(self, codec: Codec, speaker: torch.Tensor, *, look_ahead_tokens: int) -> None:
        """Begin.

        Args:
            codec: The decoder.
            speaker: Whose voice; see Codec.speaker.
            look_ahead_tokens: Tokens to wait for beyond those that a window gives out.
        """
        self._codec = codec
        self._speaker = speaker
        self._look_ahead = look_ahead_tokens
        self._tokens: list[int] = []
        self._decoded = 0  # tokens whose samples are settled
        self._hop = FIRST_HOP_TOKENS
        self._ready = NOTHING
        self._overlap = NOTHING  # what the latest window says of the samples behind it

    def push(self, token: int) -> Samples:
        """Take a semantic token, and give samples that can be given: mostly some, and none at first."""
        self._tokens.append(token)
        first = self._decoded == 0
        missing = self._decoded + self._hop + self._look_ahead - len(self._tokens)
        if missing == 0:
            self._decode(self._decoded + self._hop)
            missing = self._hop = min(math.ceil(self._hop * HOP_GROWTH), MOST_HOP_TOKENS)
        size = math.ceil(self._ready.size / (2 if first else missing))
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def finish(self) -> Samples:
        """All the rest."""
        if self._decoded < len(self._tokens):
            self._decode(len(self._tokens))
        given, self._ready = self._ready, NOTHING
        return given

    def _decode(self, end: int) -> None:
        """Settle the samples up to a token, with all that is known of what follows it."""
        begin = max(0, self._decoded - self._codec.reach)
        window = self._codec.decode(self._tokens[begin:], self._speaker)
        cuts = [(token - begin) * self._codec.token_samples for token in (self._decoded, end, end + 1)]
        samples = window[cuts[0] : cuts[1]]
        if self._overlap.size:
            rise = np.linspace(0.0, 1.0, self._overlap.size, dtype=np.float32)
            samples[: rise.size] = samples[: rise.size] * rise + self._overlap * (1.0 - rise)
        self._ready = np.concatenate([self._ready, samples])
        self._overlap = window[cuts[1] : cuts[2]]
        self._decoded = end
