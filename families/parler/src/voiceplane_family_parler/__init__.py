"""Parler-TTS: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="parler", streaming=True),
    module="voiceplane_family_parler.adapter",
    adapter="ParlerAdapter",
    needs=("torch", "parler_tts", "safetensors"),
    opens=("*.json", "*.safetensors", "*.model", "*.txt"),
)
