"""A tiny CSM with random weights, in the layout of the Hub; only in the environment of the csm family.

Its architecture is the real one, with the real library's classes; only its sizes are small, and what it says is noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    CsmProcessor,
    EncodecFeatureExtractor,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

CODEBOOKS, CODES = 4, 64
RATE_HZ, FRAME_SAMPLES = 24_000, 1_920
BEGIN, END, AUDIO, AUDIO_END = "<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"
TEMPLATE = (
    "{% for message in messages %}" + BEGIN + "[{{ message.role }}]"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}" + END + "{% else %}" + AUDIO + AUDIO_END + "{% endif %}"
    "{% endfor %}{% endfor %}"
)
# Without an end that it has learnt, it speaks until the length limit: about as long as the text takes to speak.
OPTIONS = {"longest_ms_per_character": "60", "longest_ms_besides": "80"}


def pack_of_tiny(folder: Path, *, model_id: str = "tiny", weights: int = 0, **options: str) -> VoicePack:
    """Write a tiny CSM into a new folder; it needs about 20 ms for a frame.

    Args:
        folder: To be made.
        model_id: Of the pack.
        weights: The seed of its weights.
        **options: Of the pack, besides those that bound its speech.
    """
    tokenizer = _tokenizer()
    torch.manual_seed(weights)
    model = CsmForConditionalGeneration(_config(tokenizer))
    _make_decided(model)
    _make_audible(model)
    for part in (model, model.depth_decoder):
        part.generation_config = GenerationConfig(
            do_sample=True, temperature=0.9, pad_token_id=model.config.pad_token_id
        )
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    extractor = EncodecFeatureExtractor(sampling_rate=RATE_HZ)
    CsmProcessor(feature_extractor=extractor, tokenizer=tokenizer, chat_template=TEMPLATE).save_pretrained(folder)
    return pack_in(folder, model_id=model_id, **options)


def lora_pack(
    folder: Path,
    base: VoicePack,
    *,
    model_id: str = "lora",
    weights: int = 1,
    lora: dict[str, Any] | None = None,
    **options: str,
) -> VoicePack:
    """Write a LoRA adapter with random weights for a tiny CSM into a new folder, as peft does after a training.

    Args:
        folder: To be made.
        base: What it is for.
        model_id: Of the pack.
        weights: The seed of its weights.
        lora: What is special in its LoraConfig.
        **options: Of the pack.
    """
    model = CsmForConditionalGeneration.from_pretrained(base.path)
    torch.manual_seed(weights)
    wanted = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"], "init_lora_weights": False} | (lora or {})
    adapted: Any = get_peft_model(model, LoraConfig(**wanted))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name or "lora_magnitude_vector" in name:
                parameter.add_(torch.randn_like(parameter) * parameter.std())
    adapted.save_pretrained(folder)
    return pack_in(folder, model_id=model_id, **options)


def pack_in(folder: Path, *, model_id: str, **options: str) -> VoicePack:
    """The pack of a folder."""
    metadata = PackMetadata(
        model_id=model_id,
        family="csm",
        licence="Apache-2.0",
        voices=(PackVoice(name="first", language="en"), PackVoice(name="second", language="en")),
        options=OPTIONS | options,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def _tokenizer() -> Any:
    """Bytes, and the marks of the real one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in (BEGIN, END, AUDIO, AUDIO_END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=AUDIO,
        extra_special_tokens={"audio_token": AUDIO, "audio_eos_token": AUDIO_END},
    )


def _config(tokenizer: Any) -> Any:
    codec = {
        "model_type": "mimi",
        "hidden_size": 32,
        "num_filters": 4,
        "codebook_size": CODES,
        "codebook_dim": 16,
        "num_quantizers": CODEBOOKS,
        "vector_quantization_hidden_dimension": 16,
        "upsample_groups": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "sliding_window": 20,  # so that some tests are longer than it
    }
    depth = {
        "num_codebooks": CODEBOOKS,
        "backbone_hidden_size": 32,
        "vocab_size": CODES + 3,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CODEBOOKS + 1,
    }
    mark = tokenizer.convert_tokens_to_ids
    return CsmConfig(
        num_codebooks=CODEBOOKS,
        vocab_size=CODES + 3,
        text_vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        codebook_pad_token_id=CODES + 2,
        pad_token_id=mark(AUDIO),
        bos_token_id=mark(BEGIN),
        audio_token_id=mark(AUDIO),
        audio_eos_token_id=mark(AUDIO_END),
        depth_decoder_config=depth,
        codec_config=codec,
    )


def _make_decided(model: Any) -> None:
    """Scale the heads, so that which codes come depends on what went before, and not on chance alone."""
    with torch.no_grad():
        for head in (model.lm_head, model.depth_decoder.codebooks_head):
            head.weight.mul_(20.0)


def _make_audible(model: Any) -> None:
    """Give the codec's entries values, which are zero at first, and its last layer about the level of speech."""
    codes = torch.randint(CODES, (1, CODEBOOKS, 25))
    with torch.no_grad():
        for name, buffer in model.codec_model.quantizer.named_buffers():
            if name.endswith("embed_sum"):
                buffer.normal_()
        level = model.codec_model.decode(codes).audio_values.std()
        for parameter in model.codec_model.decoder.decoder_seanet.layers[-1].parameters():
            parameter.mul_(0.1 / level)
