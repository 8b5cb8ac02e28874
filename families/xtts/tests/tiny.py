"""A tiny XTTS with random weights, in the layout of the public model; only in the environment of the xtts family.

Its architecture is the real one, with the real library's classes; only its sizes are small, and what it says is noise.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
from TTS.tts.layers.xtts import hifigan_decoder
from TTS.tts.models import xtts
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

# No configuration says how wide these two networks are, so here the library's own defaults are others.
xtts.HifiDecoder = partial(hifigan_decoder.HifiDecoder, upsample_initial_channel_decoder=32)
hifigan_decoder.ResNetSpeakerEncoder = partial(
    hifigan_decoder.ResNetSpeakerEncoder, num_filters=[8, 8, 16, 16], layers=[1, 1, 1, 1]
)

RATE_HZ, LATENT_S = 24_000, 1_024 / 22_050
CODES, CHANNELS, EMBEDDING = 64, 64, 512
LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko", "ja", "hi")
UNKNOWN = "[UNK]"
SPEAKERS = ("Anna First", "Bert Second")
MARKS = ("[STOP]", UNKNOWN, "[SPACE]", "[START]", *(f"[{language}]" for language in LANGUAGES))
# Lower-case letters of the scripts that the model reads, digits and punctuation.
LETTERS = [
    *map(chr, (*range(0x61, 0x7B), *range(0x30, 0x3A), *range(0xDF, 0x180), *range(0x430, 0x460))),
    *map(chr, (*range(0x620, 0x653), *range(0x900, 0x970))),
    *"!'(),-./:;?¿…",
]
# It never draws the mark at which speech ends, and speaks until the length limit, as long as the text takes.
OPTIONS = {"longest_ms_per_character": "60", "longest_ms_besides": "80"}


def pack_of_tiny(folder: Path, *, weights: int = 0, voices: tuple[PackVoice, ...] = (), **options: str) -> VoicePack:
    """Write a tiny XTTS into a new folder; it needs about 2 ms for a latent.

    Args:
        folder: To be made.
        weights: The seed of its weights.
        voices: Of the pack; its two speakers, in English, if none is given.
        **options: Of the pack, besides those that bound its speech.
    """
    folder.mkdir()
    _tokenizer().save(str(folder / "vocab.json"))
    config = _config()
    torch.manual_seed(weights)
    model = xtts.Xtts(config)
    _make_decided(model)
    _make_audible(model)
    torch.save({"model": model.state_dict(), "config": config.to_dict()}, folder / "model.pth")
    speakers = {
        name: {
            "gpt_cond_latent": torch.randn(1, 32, CHANNELS),
            "speaker_embedding": torch.nn.functional.normalize(torch.randn(1, EMBEDDING, 1), dim=1),
        }
        for name in SPEAKERS
    }
    torch.save(speakers, folder / "speakers_xtts.pth")
    _config().save_json(str(folder / "config.json"))
    metadata = PackMetadata(
        model_id="tiny",
        family="xtts",
        licence="CPML",
        voices=voices or tuple(PackVoice(name=name, language="en") for name in SPEAKERS),
        allow_pickle=("model.pth", "speakers_xtts.pth"),
        options=OPTIONS | options,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def _tokenizer() -> Any:
    """Letters and marks, in the form of the real one, which has longer pieces besides."""
    vocabulary = {token: number for number, token in enumerate([*MARKS, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    return tokenizer


def _config() -> Any:
    sizes = XttsArgs(
        gpt_layers=2,
        gpt_n_model_channels=CHANNELS,
        gpt_n_heads=2,
        gpt_number_text_tokens=len(MARKS) + len(LETTERS),
        gpt_start_text_token=MARKS.index("[START]"),
        gpt_stop_text_token=MARKS.index("[STOP]"),
        gpt_num_audio_tokens=CODES + 2,
        gpt_start_audio_token=CODES,
        gpt_stop_audio_token=CODES + 1,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=CHANNELS,
        d_vector_dim=EMBEDDING,
    )
    return XttsConfig(model_args=sizes, languages=list(LANGUAGES), temperature=0.75, repetition_penalty=5.0)


def _make_decided(model: Any) -> None:
    """Scale the head, so that which code comes depends on what went before; and let the speech never end by chance."""
    with torch.no_grad():
        model.gpt.mel_head.weight.mul_(20.0)
        model.gpt.mel_head.bias[CODES + 1] = -1e4


def _make_audible(model: Any) -> None:
    """Give the vocoder's last layer about the level of speech, and let it be silent where nothing changes."""
    layer = model.hifigan_decoder.waveform_decoder.conv_post
    with torch.no_grad():
        layer.weight.sub_(layer.weight.mean(dim=-1, keepdim=True))
        layer.weight.mul_(1e-3)  # what comes next must not touch the ends of the range, where it is bent
        level = model.hifigan_decoder(torch.randn(1, 50, CHANNELS), g=torch.zeros(1, EMBEDDING, 1)).std()
        layer.weight.mul_(0.1 / level)
