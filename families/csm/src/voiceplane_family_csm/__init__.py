"""Sesame CSM: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="csm", streaming=True, voice_cloning=True, lora=True),
    module="voiceplane_family_csm.adapter",
    adapter="CsmAdapter",
    needs=("torch", "transformers", "peft", "safetensors"),
    opens=("*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"),
)
