"""The files of an XTTS pack, in the layout of the public model, read so that no pickle can run code."""

from __future__ import annotations

import json
import threading
import zipfile
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.utils import parametrize
from transformers.initialization import no_init_weights
from TTS.config.shared_configs import BaseDatasetConfig
from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
from TTS.tts.models.xtts import Xtts
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.pack_files import invalid_file, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

CONFIG, VOCABULARY, SPEAKERS = "config.json", "vocab.json", "speakers_xtts.pth"
WEIGHTS = ("model.safetensors", "model.pth")
# The public checkpoint holds its configuration, too: plain values, in classes that were in another module then.
LEGACY_CLASSES: list[Any] = [
    BaseDatasetConfig,
    *((each, f"TTS.tts.models.xtts.{each.__name__}") for each in (XttsArgs, XttsAudioConfig)),
    XttsConfig,
]
_initializing = threading.Lock()  # what no_init_weights replaces in torch is the whole process's


class _Xtts(Xtts):  # type: ignore[misc]  # the library has no types
    """The library's model, which would unpickle more, and write an old checkpoint over the pack's file."""

    def _load_checkpoint(self, model_path: Path) -> Any:
        if model_path.suffix == ".safetensors":
            return load_file(model_path)
        return read_tensors(model_path)["model"]


def read_config(pack: VoicePack) -> Any:
    """The library's XttsConfig of a pack. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    file = pack.path / CONFIG
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        kind = values.get("model")
    except (OSError, ValueError, AttributeError):
        raise broken(pack, f"{CONFIG} is missing or no JSON object: a pack is the model's folder on the Hub") from None
    if kind != "xtts":
        raise broken(pack, f"{CONFIG}: model is {kind!r}, and must be 'xtts'", field=CONFIG)
    for key in ("model_args", "audio"):  # the library would take its defaults instead
        if not isinstance(values.get(key), dict):
            raise broken(pack, f"{CONFIG}: {key} must be an object", field=CONFIG)
    config = XttsConfig()
    try:
        config.from_dict(values)
    except (TypeError, ValueError, AttributeError) as error:
        raise broken(pack, f"{CONFIG} can't be used: {one_line(error)}", field=CONFIG) from None
    return config


def read_model(pack: VoicePack, config: Any) -> Any:
    """The library's Xtts, ready to speak, on the CPU. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    weights = next((pack.path / name for name in WEIGHTS if (pack.path / name).is_file()), None)
    if weights is None:
        raise broken(pack, f"the weights are missing: {' or '.join(WEIGHTS)}")
    if not (vocabulary := pack.path / VOCABULARY).is_file():
        raise broken(pack, f"{VOCABULARY} is missing: it holds the tokens that the model reads")
    try:
        Tokenizer.from_file(str(vocabulary))
    except Exception as error:  # tokenizers has no exceptions of its own
        raise invalid_file(vocabulary, f"can't be read: {one_line(error)}") from None
    # How many tokens there are is read from the vocabulary. Left out here, the GPT is not made twice.
    config.model_args.gpt_number_text_tokens = None
    try:
        # Random numbers for weights that are to be overwritten would take most of the time of a load.
        with _initializing, no_init_weights():
            model = _Xtts(config)
            model.load_checkpoint(config, checkpoint_path=weights, vocab_path=vocabulary, speaker_file_path="")
    except SafetensorError as error:
        raise invalid_file(weights, f"can't be read: {one_line(error)}") from None
    _fold_weight_norm(model.hifigan_decoder.waveform_decoder)
    return model


def read_tensors(file: Path) -> Any:
    """What torch saved in a file: tensors and plain values, and nothing else. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    try:
        with torch.serialization.safe_globals(LEGACY_CLASSES):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except UnpicklingError:
        raise invalid_file(file, "is no checkpoint, or holds more than tensors, which is not read") from None
    except (EOFError, RuntimeError) as error:
        raise invalid_file(file, f"can't be read: {one_line(error)}") from None


def _fold_weight_norm(network: Any) -> None:
    """Compute the weights from their norms and directions now, once, and not in each call."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
