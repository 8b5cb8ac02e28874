"""CosyVoice 2: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="cosyvoice2", streaming=True, voice_cloning=True),
    module="voiceplane_family_cosyvoice2.adapter",
    adapter="CosyVoice2Adapter",
    needs=("torch", "torchaudio", "transformers", "cosyvoice", "matcha", "whisper", "onnxruntime"),
)
