"""Coqui's XTTS-v2: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="xtts", streaming=True, voice_cloning=True),
    module="voiceplane_family_xtts.adapter",
    adapter="XttsAdapter",
    needs=("torch", "TTS", "torchcodec", "transformers", "cutlet", "unidic_lite", "pypinyin", "safetensors"),
    opens=("config.json", "vocab.json", "speakers_xtts.pth", "model.pth", "model.safetensors"),
)
