"""LoRA adapters as peft saves them: adapter_config.json and adapter_model.safetensors.

An adapter names the layers of the base as the transformers release of its training did. Up to 5.22, the transformers of
Mimi, the codec, were directly in it; Unsloth's notebook trains their attention, too. Such names are translated.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    import torch
    from voiceplane_worker.packs.pack import VoicePack

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What peft writes before the name of a layer."""
_FLAT_CODEC = re.compile(r"(\bcodec_model\.)(encoder|decoder)_transformer\.")
_OF_A_TARGET = re.compile(r"\.lora_(?:A|B|embedding_A|embedding_B|magnitude_vector)\b.*")


def read_lora(pack: VoicePack) -> tuple[Any, dict[str, torch.Tensor]]:
    """Read an adapter's configuration and its weights. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: it is none, or one that would change its base.
    """
    for name in (CONFIG, WEIGHTS):
        if not (pack.path / name).is_file():
            raise broken(pack, f"{name} is missing: a LoRA pack is what peft's save_pretrained writes", field="files")
    try:
        kind = json.loads((pack.path / CONFIG).read_text(encoding="utf-8"))
        if kind.get("peft_type") != "LORA":
            raise broken(pack, f"{CONFIG}: peft_type is {kind.get('peft_type')!r}, and only LORA is supported")
        if kind.get("bias", "none") != "none":
            raise broken(pack, f"{CONFIG}: bias is {kind['bias']!r}: it would change the base; train with bias none")
        config = LoraConfig.from_pretrained(pack.path)
        config.inference_mode = True
        weights = load_file(pack.path / WEIGHTS)
    except (OSError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise broken(pack, f"the adapter can't be read: {' '.join(str(error).split())}") from None
    return _named_as_here(config, weights)


def _named_as_here(config: Any, weights: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """An adapter with this transformers' names of the base's layers.

    A pattern in target_modules was written for the names of its time, and so were whole names: the layers that the
    weights are of stand in for them.
    """
    renamed = {_FLAT_CODEC.sub(r"\1\2.\2_transformer.", name): tensor for name, tensor in weights.items()}
    if renamed.keys() != weights.keys() or isinstance(config.target_modules, str):
        targets = {_OF_A_TARGET.sub("", name).removeprefix(PREFIX) for name in renamed if _OF_A_TARGET.search(name)}
        config.target_modules = targets
        config.exclude_modules = config.layers_to_transform = config.layers_pattern = None
    return config, renamed
