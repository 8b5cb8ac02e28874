"""A tiny Spark-TTS with random weights, in the layout of the Hub; only in the environment of the spark family.

Its architecture is the real one, with the real libraries' classes; only its sizes are small, and what it says is noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import yaml
from flashtts.audio.detokenizer.spark_detokenizer import SparkDeTokenizerModel
from flashtts.audio.tokenizer.spark_tokenizer import SparkTokenizerModel
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)
from transformers.utils import logging
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

RATE_HZ, TOKEN_SAMPLES = 16_000, 320
SEMANTIC, SPEAKER, SPEAKER_TOKENS = 256, 16, 4
FEATURES = 24
SETTINGS = {
    "highpass_cutoff_freq": 40,
    "sample_rate": RATE_HZ,
    "segment_duration": 2.4,
    "max_val_duration": 12,
    "latent_hop_length": TOKEN_SAMPLES,
    "ref_segment_duration": 2,
    "volume_normalize": True,
}
BACKBONE = {"vocos_dim": 16, "vocos_intermediate_dim": 32, "vocos_num_layers": 3, "sample_ratios": [1, 1]}
CODEC: dict[str, dict[str, Any]] = {
    "mel_params": {
        "sample_rate": RATE_HZ,
        "n_fft": 1_024,
        "win_length": 640,
        "hop_length": TOKEN_SAMPLES,
        "mel_fmin": 10,
        "mel_fmax": None,
        "num_mels": 16,
    },
    "encoder": {"input_channels": FEATURES, "out_channels": FEATURES, **BACKBONE},
    "decoder": {"input_channel": FEATURES, "channels": 32, "rates": [8, 5, 4, 2], "kernel_sizes": [16, 11, 8, 4]},
    "quantizer": {
        "input_dim": FEATURES,
        "codebook_size": SEMANTIC,
        "codebook_dim": 8,
        "commitment": 0.25,
        "codebook_loss_weight": 2.0,
        "use_l2_normlize": True,
        "threshold_ema_dead_code": 0.2,
    },
    "speaker_encoder": {
        "input_dim": 16,
        "out_dim": FEATURES,
        "latent_dim": 8,
        "token_num": SPEAKER_TOKENS,
        "fsq_levels": [4, 4],
        "fsq_num_quantizers": 1,
    },
    "prenet": {
        "input_channels": FEATURES,
        "out_channels": FEATURES,
        "condition_dim": FEATURES,
        "use_tanh_at_final": False,
        **BACKBONE,
    },
    "postnet": {"input_channels": FEATURES, "out_channels": FEATURES, "use_tanh_at_final": False, **BACKBONE},
}
PARTS = ("content", "style_label", "acoustic_token", "global_token", "semantic_token")
END = "<|im_end|>"
# Without an end that it has learnt, it speaks until the length limit: about as long as the text takes to speak.
OPTIONS = {"longest_ms_per_character": "60", "longest_ms_besides": "80"}


def pack_of_tiny(folder: Path, *, model_id: str = "tiny", weights: int = 0, **options: str) -> VoicePack:
    """Write a tiny Spark-TTS into a new folder; it needs about 2 ms for a token.

    Args:
        folder: To be made.
        model_id: Of the pack.
        weights: The seed of its weights.
        **options: Of the pack, besides those that bound its speech.
    """
    logging.disable_progress_bar()
    torch.manual_seed(weights)
    (folder / "BiCodec").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "BiCodec" / "config.yaml").write_text(yaml.safe_dump({"audio_tokenizer": CODEC}))
    save_file(_codec_weights(), folder / "BiCodec" / "model.safetensors")
    _write_language_model(folder / "LLM")
    _write_features(folder / "wav2vec2-large-xlsr-53")
    return pack_in(folder, model_id=model_id, **options)


def pack_in(folder: Path, *, model_id: str = "tiny", **options: str) -> VoicePack:
    """The pack of a folder."""
    metadata = PackMetadata(
        model_id=model_id,
        family="spark",
        licence="CC-BY-NC-SA-4.0",
        voices=(PackVoice(name="first", language="en"), PackVoice(name="second", language="zh-CN")),
        allow_pickle=("wav2vec2-large-xlsr-53/pytorch_model.bin",),
        options=OPTIONS | options,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def marks() -> list[str]:
    """The real tokenizer's, besides those of other tasks."""
    names = [f"{side}_{part}" for part in PARTS for side in ("start", "end")]
    names += ["task_tts", "task_controllable_tts"]
    for name, count in (("bicodec_global", SPEAKER), ("bicodec_semantic", SEMANTIC), ("pitch_value", 1_001)):
        names += [f"{name}_{number}" for number in range(count)]
    for name, count in (("speed_value", 11), ("pitch_label", 5), ("speed_label", 5), ("gender", 2)):
        names += [f"{name}_{number}" for number in range(count)]
    return [f"<|{name}|>" for name in names]


def _write_language_model(folder: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer: Any = Qwen2Tokenizer(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[])
    tokenizer.add_special_tokens({"eos_token": END, "pad_token": "<|endoftext|>"})
    tokenizer.add_tokens(marks())
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 20,  # the real one has some to spare, too
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2_048,
        tie_word_embeddings=True,
        initializer_range=0.4,  # so that which tokens come depends on what went before
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model: Any = Qwen2ForCausalLM(config)
    with torch.no_grad():
        # An end, whose score is 0, is never among the best.
        for end in (END, "<|end_semantic_token|>"):
            model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids(end)] = 0.0
    model.save_pretrained(folder)


def _codec_weights() -> dict[str, torch.Tensor]:
    """The weights of both of the codec's directions, as they are published in one file."""
    decoder, encoder = SparkDeTokenizerModel(CODEC), SparkTokenizerModel(CODEC)
    for part in (decoder, encoder):
        part.eval()
    with torch.no_grad():
        for block in (*decoder.prenet.modules(), *encoder.encoder.modules()):
            if hasattr(block, "dwconv"):
                block.dwconv.weight.normal_(std=0.3)  # so that tokens are heard in the sound of their neighbours
        decoder.prenet.linear.weight.mul_(15.0)
        layers = [layer for layer in decoder.decoder.modules() if hasattr(layer, "weight_g")]
        for layer in layers:
            layer.bias.zero_()
            layer.weight_g.div_(_output(decoder, layer).std())
        layers[-1].weight_g.mul_(0.1)  # about the level of speech
    weights = encoder.state_dict() | decoder.state_dict()
    return {name: tensor for name, tensor in weights.items() if not name.startswith("mel_transformer.")}


def _output(decoder: Any, layer: Any) -> torch.Tensor:
    """What a layer makes of some speech."""
    outputs: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda *arguments: outputs.append(arguments[2]))
    decoder(torch.arange(SEMANTIC)[None, :50], torch.zeros((1, 1, SPEAKER_TOKENS), dtype=torch.int64))
    handle.remove()
    return outputs[0]


def _write_features(folder: Path) -> None:
    """Wav2vec 2.0, as a pickle: so it is published."""
    config = Wav2Vec2Config(
        hidden_size=FEATURES,
        num_hidden_layers=17,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    model: Any = Wav2Vec2Model(config)
    config.save_pretrained(folder)
    torch.save({_published(name): tensor for name, tensor in model.state_dict().items()}, folder / "pytorch_model.bin")
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True).save_pretrained(folder)


def _published(name: str) -> str:
    """A tensor's name as an earlier torch has called it, in a model with what it was trained for."""
    new = "parametrizations.weight.original"
    return "wav2vec2." + name.replace(f"{new}0", "weight_g").replace(f"{new}1", "weight_v")
