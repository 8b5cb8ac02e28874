"""The CosyVoice 2 family: loads a model in the layout of the Hugging Face Hub and of ModelScope."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, ClassVar

from safetensors import SafetensorError
from voiceplane_family_kit.torch_device import torch_device
from voiceplane_family_kit.torch_loading import loading
from voiceplane_worker.adapters.options import broken, read_options

from voiceplane_family_cosyvoice2 import FAMILY
from voiceplane_family_cosyvoice2.configuration import ConfigurationError, read_configuration
from voiceplane_family_cosyvoice2.model import CosyVoice2Model
from voiceplane_family_cosyvoice2.options import CosyVoice2Options
from voiceplane_family_cosyvoice2.parts import BACKBONE, read_parts
from voiceplane_family_cosyvoice2.voices import prompts_of

if TYPE_CHECKING:
    import torch
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack

CONFIGURATION = "cosyvoice2.yaml"
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


class CosyVoice2Adapter:
    """Loads CosyVoice 2 models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> CosyVoice2Model:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        options = read_options(CosyVoice2Options, pack)
        with loading(pack, where, threads=threads, unreadable=UNREADABLE):
            try:
                return _read(pack, options, where, threads)
            except ConfigurationError as error:
                raise broken(pack, f"{CONFIGURATION} {error}", field=CONFIGURATION) from None
            except pickle.UnpicklingError as error:
                # What it says goes on with how to run the pickle nevertheless, in many lines.
                what = str(error).rpartition("WeightsUnpickler error:")[2].split("\n")[0].strip()
                message = f"a pickle among its files is more than tensors, and is not run: {what}"
                raise broken(pack, message, field="allow_pickle") from None


def _read(pack: VoicePack, options: CosyVoice2Options, device: torch.device, threads: int) -> CosyVoice2Model:
    if not (pack.path / BACKBONE / "config.json").is_file():
        raise broken(pack, f"{BACKBONE}/config.json is missing: a pack is the model's folder on the Hub")
    configuration = read_configuration(pack.path / CONFIGURATION)
    parts = read_parts(pack, configuration, device)
    prompts = prompts_of(pack, options, parts, configuration=configuration, threads=threads)
    return CosyVoice2Model(parts, prompts, pack, options=options)
