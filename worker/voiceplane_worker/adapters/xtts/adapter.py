"""The XTTS family: loads a model in the layout of the public one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
import transformers

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.memory import bound_what_the_heap_keeps, release_memory
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.pack_files import one_line
from voiceplane_worker.adapters.torch_device import torch_device
from voiceplane_worker.adapters.xtts.files import read_config, read_model
from voiceplane_worker.adapters.xtts.model import XttsModel

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack


class XttsAdapter:
    """Loads XTTS models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FamilyTraits(name="xtts", streaming=True, voice_cloning=True)

    def load(self, pack: VoicePack, *, device: str, threads: int) -> XttsModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        config = read_config(pack)
        languages = list(config.languages)  # the library overwrites them
        transformers.utils.logging.set_verbosity_error()  # it warns of marks that only a model of text has
        bound_what_the_heap_keeps()
        if where.type == "cpu":
            torch.set_num_threads(threads)
        try:
            model = read_model(pack, config).to(where)
            return XttsModel(model, config, pack, languages=languages)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise broken(pack, f"the model can't be read: {one_line(error)[:500]}") from None
        finally:
            release_memory()  # what was read, or what a failed load left
