"""The Parler-TTS family: loads a model in the layout of the Hugging Face Hub, from safetensors only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from safetensors import SafetensorError
from voiceplane_family_kit.torch_device import torch_device
from voiceplane_family_kit.torch_loading import loading
from voiceplane_worker.adapters.options import broken

from voiceplane_family_parler import FAMILY
from voiceplane_family_parler.codec import NotWindowedError
from voiceplane_family_parler.loading import read_model
from voiceplane_family_parler.model import ParlerModel
from voiceplane_family_parler.options import read_parler_options

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack


UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


class ParlerAdapter:
    """Loads Parler-TTS models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> ParlerModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        options, descriptions = read_parler_options(pack)
        try:
            with loading(pack, where, threads=threads, unreadable=UNREADABLE):
                return ParlerModel(read_model(pack, descriptions, where), pack, options)
        except NotWindowedError as error:
            raise broken(pack, str(error), field="config.json") from None
