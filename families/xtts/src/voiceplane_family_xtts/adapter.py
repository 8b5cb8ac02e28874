"""The XTTS family: loads a model in the layout of the public one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import transformers
from voiceplane_family_kit.torch_device import torch_device
from voiceplane_family_kit.torch_loading import loading

from voiceplane_family_xtts import FAMILY
from voiceplane_family_xtts.files import read_config, read_model
from voiceplane_family_xtts.model import XttsModel

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack


UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)


class XttsAdapter:
    """Loads XTTS models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> XttsModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        config = read_config(pack)
        languages = list(config.languages)  # the library overwrites them
        transformers.utils.logging.set_verbosity_error()  # it warns of marks that only a model of text has
        with loading(pack, where, threads=threads, unreadable=UNREADABLE):
            model = read_model(pack, config).to(where)
            return XttsModel(model, config, pack, languages=languages)
