"""The CSM family: loads a model in the layout of the Hugging Face Hub, from safetensors only."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, ClassVar

import transformers
from safetensors import SafetensorError
from transformers import AutoProcessor, CsmForConditionalGeneration
from voiceplane_family_kit.torch_device import torch_device, torch_dtype
from voiceplane_family_kit.torch_loading import loading
from voiceplane_worker.adapters.options import broken, read_options

from voiceplane_family_csm import FAMILY
from voiceplane_family_csm.codec import NotCausalError, check_causal
from voiceplane_family_csm.model import CsmModel
from voiceplane_family_csm.options import CsmOptions
from voiceplane_family_csm.resident import Resident

if TYPE_CHECKING:
    import torch
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack


UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError)


class CsmAdapter:
    """Loads CSM models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> CsmModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        _check_layout(pack)
        transformers.utils.logging.disable_progress_bar()
        try:
            with loading(pack, where, threads=threads, unreadable=UNREADABLE):
                model, processor = _read(pack, where)
                if read_options(CsmOptions, pack).unsloth:
                    _quicken(model, pack)
                return CsmModel(Resident(model, processor), pack)
        except NotCausalError as error:
            raise broken(pack, str(error), field="config.json") from None


def _read(pack: VoicePack, device: torch.device) -> tuple[Any, Any]:
    """The library's model on its device, and its processor."""
    model, report = CsmForConditionalGeneration.from_pretrained(
        pack.path,
        use_safetensors=True,
        local_files_only=True,
        dtype=torch_dtype(device),
        output_loading_info=True,
    )
    if lacking := [*report["missing_keys"], *report["mismatched_keys"]]:
        raise broken(pack, f"its weights lack {len(lacking)} tensors of its configuration, such as {lacking[0]}")
    check_causal(model.codec_model)
    # The last codes are marks and no sound. A trained model hardly ever draws one; the codec has no entry for them.
    marks = list(range(model.config.codec_config.codebook_size, model.config.vocab_size))
    for part in (model, model.depth_decoder):
        part.generation_config.suppress_tokens = marks
    processor = AutoProcessor.from_pretrained(pack.path, local_files_only=True)
    if not processor.chat_template:
        raise broken(pack, "chat_template.jinja is missing: it says how a text is put to the model")
    return model.to(device).eval(), processor


def _quicken(model: Any, pack: VoicePack) -> None:
    """Let Unsloth patch a model for inference."""
    try:
        unsloth = importlib.import_module("unsloth")
    except (ImportError, NotImplementedError) as error:  # the latter is how it says that there is no GPU
        message = (
            f"Unsloth can't be used here: {error}; install it on a machine with a GPU, or leave options.unsloth out"
        )
        raise broken(pack, message, field="options.unsloth") from None
    unsloth.FastModel.for_inference(model)


def _check_layout(pack: VoicePack) -> None:
    file = pack.path / "config.json"
    try:
        kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise broken(
            pack, "config.json is missing or no JSON object: a pack is the model's folder on the Hub"
        ) from None
    if kind != "csm":
        raise broken(pack, f"config.json: model_type is {kind!r}, and must be 'csm'", field="config.json")
