"""MeloTTS: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="melo", streaming=True),
    module="voiceplane_family_melo.adapter",
    adapter="MeloAdapter",
    needs=("torch", "transformers", "safetensors", "melo"),
    opens=("config.json", "checkpoint.pth", "checkpoint.safetensors", "bert/"),
)
