"""A tiny Parler-TTS with random weights, in the layout of the Hub; only in the environment of the parler family.

Its architecture is the real one, with the real library's classes; only its sizes are small, and what it says is noise.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import torch
from parler_tts import DACConfig, ParlerTTSConfig, ParlerTTSDecoderConfig, ParlerTTSForConditionalGeneration
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch.nn.utils import parametrize
from transformers import DacConfig, GenerationConfig, T5Config, T5TokenizerFast
from transformers.utils import logging
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

CODEBOOKS, CODES, WIDTH, POSITIONS = 9, 64, 32, 2_048
END, START = CODES, CODES + 1
RATE_HZ, FRAME_SAMPLES = 44_100, 512
ENCODER_WIDTH = 24  # another than the decoder's, as in the large model
# Without an end that it has learnt, it speaks until the length limit: about as long as the text takes to speak.
OPTIONS = {"longest_ms_per_character": "60", "longest_ms_besides": "80"}
NEVER = -30.0
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.ConvTranspose1d)


def pack_of_tiny(
    folder: Path,
    *,
    model_id: str = "tiny",
    weights: int = 0,
    end: float = NEVER,
    codec: Any = None,
    decoder: dict[str, Any] | None = None,
    crossed: bool = False,
    **options: str,
) -> VoicePack:
    """Write a tiny Parler-TTS into a new folder; it needs about 2 ms for a step.

    Args:
        folder: To be made.
        model_id: Of the pack.
        weights: The seed of its weights.
        end: The logit of the end of speech, at each step.
        codec: Its configuration; None: transformers' DAC.
        decoder: Changes of the decoder's configuration.
        crossed: Whether what is to be said goes through cross-attention, as the description does.
        **options: Of the pack, besides those that bound its speech.
    """
    torch.manual_seed(weights)
    tokenizer = t5_tokenizer()
    config = ParlerTTSConfig.from_sub_models_config(
        T5Config(
            vocab_size=len(tokenizer) + 4,
            d_model=ENCODER_WIDTH,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        ),
        codec or _dac(),
        ParlerTTSDecoderConfig(**(_decoder() | (decoder or {}))),
        vocab_size=len(tokenizer) + 4,
        prompt_cross_attention=crossed,
        pad_token_id=END,
        decoder_start_token_id=START,
    )
    model = ParlerTTSForConditionalGeneration(config)
    _make_decided(model, end=end)
    _make_audible(model)
    model.generation_config = GenerationConfig(
        do_sample=True,
        bos_token_id=START,
        decoder_start_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        max_length=2_580,
        min_new_tokens=10,
    )
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return pack_in(folder, model_id=model_id, **options)


def pack_in(folder: Path, *, model_id: str = "tiny", **options: str) -> VoicePack:
    """The pack of a folder."""
    metadata = PackMetadata(
        model_id=model_id,
        family="parler",
        licence="Apache-2.0",
        voices=(PackVoice(name="Laura", language="en"), PackVoice(name="Jon", language="en")),
        options=OPTIONS | options,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def wrapped_dac() -> Any:
    """The configuration of Descript's own DAC in the library's wrapper, which the public models have.

    It says nothing of sizes but these; the others are the arguments of dac.DAC.
    """
    return DACConfig(num_codebooks=CODEBOOKS, codebook_size=CODES, latent_dim=16, sampling_rate=RATE_HZ)


def t5_tokenizer() -> Any:
    """Letters, and the marks of the real one."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_letters, *string.digits, *string.punctuation]
    model = models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0)


def larger_tokenizer() -> Any:
    """One with more words than the text encoder knows, as the multilingual model has it for what is to be said."""
    tokenizer = t5_tokenizer()
    tokenizer.add_tokens([f"word{number}" for number in range(20)])
    return tokenizer


def _dac() -> Any:
    return DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4, 8, 8],
        decoder_hidden_size=32,
        n_codebooks=CODEBOOKS,
        codebook_size=CODES,
        codebook_dim=4,
        sampling_rate=RATE_HZ,
    )


def _decoder() -> dict[str, Any]:
    return {
        "vocab_size": CODES + 24,  # more than there are codes and marks, as in the public models
        "max_position_embeddings": POSITIONS,
        "num_hidden_layers": 2,
        "ffn_dim": 2 * WIDTH,
        "num_attention_heads": 4,
        "hidden_size": WIDTH,
        "num_codebooks": CODEBOOKS,
        "pad_token_id": END,
        "eos_token_id": END,
        "bos_token_id": START,
    }


def _make_decided(model: Any, *, end: float) -> None:
    """Scale the heads, so that what comes depends on what went before; and give the end a logit of its own."""
    norm = model.decoder.model.decoder.layer_norm
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and name.startswith(("decoder.model.", "embed_prompts.", "enc_to_dec_proj.")):
                weight.mul_(8.0)  # what is said and how would hardly be felt otherwise
        norm.weight[0], norm.bias[0] = 0.0, 1.0  # the first coordinate is 1 at each step
        for head in model.decoder.lm_heads:
            head.weight.mul_(20.0)
            head.weight[:, 0] = 0.0
            head.weight[END] = 0.0
            head.weight[END, 0] = end


def _make_audible(model: Any) -> None:
    """Give the codec's decoder weights that let sound through, at about the level of speech and without an offset."""
    codec = model.audio_encoder
    inner = codec.model if model.use_audio_scales else codec
    layers = [layer for layer in inner.decoder.modules() if isinstance(layer, CONVOLUTIONS)]
    codes = torch.randint(CODES, (1, CODEBOOKS, 25))

    def decoded() -> Any:
        scales = {"audio_scales": [None]} if model.use_audio_scales else {}
        return codec.decode(audio_codes=codes[None] if model.use_4dim_audio_codes else codes, **scales).audio_values

    with torch.no_grad():
        for layer in layers:
            inputs = layer.weight[0].numel() if isinstance(layer, torch.nn.Conv1d) else layer.weight[:, 0].numel()
            _set_weight(layer, torch.randn_like(layer.weight) / inputs**0.5)
            layer.bias.zero_()
        for level in (1e-3, 0.1):  # the last function bends what is loud
            _set_weight(layers[-1], layers[-1].weight * (level / decoded().std()))
        layers[-1].bias -= decoded().mean()


def _set_weight(layer: Any, weight: torch.Tensor) -> None:
    """Set the weight of a layer, which may have been made of a norm and a direction."""
    if parametrize.is_parametrized(layer, "weight"):
        layer.weight = weight
    else:
        layer.weight.copy_(weight)
