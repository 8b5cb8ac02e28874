"""LoRA adapters as peft saves them: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    import torch
    from voiceplane_worker.packs.pack import VoicePack

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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
        return config, load_file(pack.path / WEIGHTS)
    except (OSError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise broken(pack, f"the adapter can't be read: {' '.join(str(error).split())}") from None
