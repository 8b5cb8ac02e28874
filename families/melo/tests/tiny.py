"""A tiny MeloTTS with random weights, in the layout of the Hub, and a BERT; only in the environment of its family.

Its architecture is the real one, with the real library's classes; only its sizes are small, and what it says is noise.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch
from melo.text import num_languages, num_tones, symbols
from transformers import BertConfig, BertForMaskedLM
from transformers.utils import logging
from voiceplane_family_melo.library import synthesizer_class
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

RATE_HZ, SAMPLES_PER_LATENT = 44_100, 512
SPEAKERS = {"EN-US": 0, "EN-BR": 1, "EN_INDIA": 2, "EN-AU": 3, "EN-Default": 4}
VOICES = (PackVoice(name="EN-US", language="en-US"), PackVoice(name="EN-BR", language="en-GB"))
# Latents of a sound and of the blank after it, about as long as they take to speak.
LATENTS_PER_SOUND = 3.7
FEATURES = 768  # the real BERT's, which the library takes for granted
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789áéíóúñçàèùâêîôûœ"
WORDS = ["the", "train", "to", "coast", "leave", "at", "noon", "from", "hello", "hola", "bonjour", "machine"]
# Chinese is read by characters, Korean here, too; Japanese comes as katakana.
CHARACTERS = (
    "我们今天去学习安装完成是的人工智能" + "안녕하세요오늘은날씨가좋습니다" + "コンニチハサジニトウキョヘイマスデノ"
)


def pack_of_tiny(
    folder: Path,
    *,
    weights: int = 0,
    voices: tuple[PackVoice, ...] = VOICES,
    speakers: dict[str, int] | None = None,
    **options: str,
) -> VoicePack:
    """Write a tiny MeloTTS into a new folder; it computes a second of sound in about 20 ms.

    Args:
        folder: To be made.
        weights: The seed of its weights.
        voices: Of the pack.
        speakers: The model's; None: those of the public English one.
        **options: Of the pack.
    """
    folder.mkdir(parents=True)
    config = _config(SPEAKERS if speakers is None else speakers)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(weights)
    model = synthesizer_class()(
        len(symbols),
        config["data"]["filter_length"] // 2 + 1,
        config["train"]["segment_size"] // config["data"]["hop_length"],
        n_speakers=config["data"]["n_speakers"],
        num_tones=num_tones,
        num_languages=num_languages,
        **config["model"],
    )
    _make_steady(model)
    _make_audible(model)
    checkpoint = {"model": model.state_dict(), "iteration": 1, "learning_rate": 0.0003, "optimizer": None}
    torch.save(checkpoint, folder / "checkpoint.pth")
    write_bert(folder / "bert")
    return pack_in(folder, voices=voices, **options)


def pack_in(folder: Path, *, voices: tuple[PackVoice, ...] = VOICES, **options: str) -> VoicePack:
    """The pack of a folder."""
    metadata = PackMetadata(
        model_id="tiny",
        family="melo",
        licence="MIT",
        voices=voices,
        allow_pickle=("checkpoint.pth",),
        options=options,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def write_bert(folder: Path, *, japanese: bool = False) -> None:
    """Write a BERT with random weights into a new folder: three layers, and a vocabulary of letters and some words."""
    folder.mkdir(exist_ok=True)
    vocabulary = [*MARKS, *".,!?'-…¿¡", *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
    vocabulary += [mark + character for mark in ("", "##") for character in dict.fromkeys(CHARACTERS)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    settings: dict[str, Any] = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    if japanese:
        settings |= {
            "tokenizer_class": "BertJapaneseTokenizer",
            "do_lower_case": False,
            "word_tokenizer_type": "mecab",
            "subword_tokenizer_type": "wordpiece",
            "mecab_kwargs": {"mecab_dic": "unidic_lite"},
        }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=FEATURES,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
    )
    logging.disable_progress_bar()
    BertForMaskedLM(config).half().save_pretrained(folder)


def _config(speakers: dict[str, int]) -> dict[str, Any]:
    return {
        "train": {"segment_size": 16384},
        "data": {
            "sampling_rate": RATE_HZ,
            "filter_length": 2048,
            "hop_length": SAMPLES_PER_LATENT,
            "win_length": 2048,
            "n_mel_channels": 128,
            "add_blank": True,
            "n_speakers": 256,
            "spk2id": speakers,
        },
        "model": {
            "use_spk_conditioned_encoder": True,
            "inter_channels": 16,
            "hidden_channels": 16,
            "filter_channels": 32,
            "n_heads": 2,
            "n_layers": 3,
            "n_layers_trans_flow": 3,
            "kernel_size": 3,
            "p_dropout": 0.1,
            "resblock": "1",
            "resblock_kernel_sizes": [3, 7, 11],
            "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
            "upsample_rates": [8, 8, 2, 2, 2],
            "upsample_initial_channel": 32,
            "upsample_kernel_sizes": [16, 16, 8, 2, 2],
            "n_layers_q": 3,
            "use_spectral_norm": False,
            "gin_channels": 16,
        },
        "symbols": list(symbols),
        "num_tones": num_tones,
        "num_languages": num_languages,
    }


def _make_steady(model: Any) -> None:
    """Let the predicted durations differ a little around their mean, and the drawn ones follow them."""
    with torch.no_grad():
        model.dp.proj.weight.mul_(0.3)
        model.dp.proj.bias.fill_(math.log(LATENTS_PER_SOUND))


def _make_audible(model: Any) -> None:
    """Give the decoder's layers, which begin near zero, weights that let latents through, and the level of speech."""
    levels: list[torch.Tensor] = []
    with torch.no_grad():
        for name, parameter in model.dec.named_parameters():
            if name.endswith("weight_g"):
                parameter.mul_(12.0 if name.startswith("ups") else 4.0)
        hook = model.dec.conv_post.register_forward_hook(lambda *call: levels.append(call[2].std()))
        model.dec(torch.randn(1, 16, 100), g=torch.randn(1, 16, 1))
        hook.remove()
        model.dec.conv_post.weight.mul_(0.1 / levels[0])
