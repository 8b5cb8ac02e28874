"""The Parler-TTS family: loads a model in the layout of the Hugging Face Hub, from safetensors only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from safetensors import SafetensorError

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.memory import bound_what_the_heap_keeps, release_memory
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.pack_files import one_line
from voiceplane_worker.adapters.parler.codec import NotWindowedError
from voiceplane_worker.adapters.parler.loading import read_model
from voiceplane_worker.adapters.parler.model import ParlerModel
from voiceplane_worker.adapters.parler.options import read_parler_options
from voiceplane_worker.adapters.torch_device import torch_device

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack


class ParlerAdapter:
    """Loads Parler-TTS models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FamilyTraits(name="parler", streaming=True)

    def load(self, pack: VoicePack, *, device: str, threads: int) -> ParlerModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        options, descriptions = read_parler_options(pack)
        bound_what_the_heap_keeps()
        if where.type == "cpu":
            torch.set_num_threads(threads)
        try:
            return ParlerModel(read_model(pack, descriptions, where), pack, options)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise broken(pack, f"the model can't be read: {one_line(error)[:500]}") from None
        except NotWindowedError as error:
            raise broken(pack, str(error), field="config.json") from None
        finally:
            release_memory()  # what was read, or what a failed load left
