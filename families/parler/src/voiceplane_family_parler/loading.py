"""A Parler-TTS model from its folder: weights, tokenizers and voices, and nothing that speech does not need."""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers
from parler_tts import ParlerTTSForConditionalGeneration
from transformers import AutoTokenizer
from voiceplane_family_kit.torch_device import torch_dtype
from voiceplane_worker.adapters.options import broken

from voiceplane_family_parler.codec import WindowedCodec, keep_the_decoder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

# At each load it prints the configurations of its parts, since they have been copied.
logging.getLogger("parler_tts.modeling_parler_tts").setLevel(logging.ERROR)

DESCRIPTION_TOKENIZER = "description_tokenizer"
"""The folder of the text encoder's tokenizer, in packs whose own tokenizer is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that is ready to speak.

    Attributes:
        model: A ParlerTTSForConditionalGeneration without its text encoder, and with a codec that only decodes.
        codec: That codec.
        tokenizer: Of what is to be said.
        voices: The encoded description of each voice, by name: shape (1, tokens, hidden).
        memory_bytes: What all this holds.
    """

    model: Any
    codec: WindowedCodec
    tokenizer: Any
    voices: dict[str, torch.Tensor]
    memory_bytes: int


def read_model(pack: VoicePack, descriptions: dict[str, str], device: torch.device) -> Loaded:
    """Read a pack. Blocking.

    The text encoder, a third of the model, is used here and never again: the voices' descriptions are known. It runs in
    full precision on the CPU, since float16 is too narrow for T5.

    Args:
        pack: Its folder is the model's on the Hub.
        descriptions: Of its voices, by name.
        device: Where it is to speak.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID; or the libraries' own.
        NotWindowedError: Its codec can't be streamed.
    """
    check_layout(pack)
    transformers.utils.logging.disable_progress_bar()
    model, report = ParlerTTSForConditionalGeneration.from_pretrained(
        pack.path,
        use_safetensors=True,
        local_files_only=True,
        torch_dtype=torch.float32,
        output_loading_info=True,
    )
    if lacking := [*report["missing_keys"], *report["mismatched_keys"]]:
        raise broken(pack, f"its weights lack {len(lacking)} tensors of its configuration, such as {lacking[0]}")
    model.eval().requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(pack.path, local_files_only=True)
    voices = _encode(model, _description_tokenizer(pack, model, tokenizer), descriptions)
    model.text_encoder = None
    keep_the_decoder(model.audio_encoder)
    dtype = torch_dtype(device)
    for name, part in model.named_children():
        if name != "audio_encoder":  # small, and half of the precision would be heard
            part.to(dtype)
    model.to(device)
    voices = {name: hidden.to(device, dtype) for name, hidden in voices.items()}
    return Loaded(
        model=model,
        codec=WindowedCodec(model),
        tokenizer=tokenizer,
        voices=voices,
        memory_bytes=_bytes_of(itertools.chain(model.parameters(), model.buffers(), voices.values())),
    )


def check_layout(pack: VoicePack) -> None:
    """Check that a pack is the folder of a Parler-TTS model.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    kind = _json_of(pack, "config.json").get("model_type")
    if kind != "parler_tts":
        raise broken(pack, f"config.json: model_type is {kind!r}, and must be 'parler_tts'", field="config.json")
    generation = _json_of(pack, "generation_config.json")
    for key in ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "max_length"):
        if not isinstance(generation.get(key), int):
            message = f"generation_config.json: {key} must be a number: it says how codes begin and end"
            raise broken(pack, message, field="generation_config.json")


def _json_of(pack: VoicePack, name: str) -> dict[str, Any]:
    file: Path = pack.path / name
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise broken(pack, f"{name} is missing or no JSON object: a pack is the model's folder on the Hub", field=name)
    return values


def _description_tokenizer(pack: VoicePack, model: Any, tokenizer: Any) -> Any:
    """The tokenizer of the text encoder: in a folder of its own, or the one for all text."""
    folder = pack.path / DESCRIPTION_TOKENIZER
    found = AutoTokenizer.from_pretrained(folder, local_files_only=True) if folder.is_dir() else tokenizer
    encoder = model.config.text_encoder
    if len(found) > encoder.vocab_size:
        message = (
            f"its tokenizer has {len(found)} words, and its text encoder knows {encoder.vocab_size}: put the tokenizer "
            f"of {encoder._name_or_path or 'the text encoder'} into {DESCRIPTION_TOKENIZER}/"  # noqa: SLF001
        )
        raise broken(pack, message, field=DESCRIPTION_TOKENIZER)
    return found


def _encode(model: Any, tokenizer: Any, descriptions: dict[str, str]) -> dict[str, torch.Tensor]:
    """What the decoder is given of each voice's description."""
    voices: dict[str, torch.Tensor] = {}
    for name, text in descriptions.items():
        with torch.inference_mode():
            hidden = model.text_encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state
            # A decoder of another width than the encoder has a projection, which the library keeps outside of both.
            voices[name] = model.enc_to_dec_proj(hidden) if hasattr(model, "enc_to_dec_proj") else hidden
    return voices


def _bytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """The bytes that tensors hold; those that share their storage count once."""
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())
