"""Kokoro-82M: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="kokoro", streaming=False),
    module="voiceplane_family_kokoro.adapter",
    adapter="KokoroAdapter",
    needs=("kokoro_onnx", "phonemizer", "espeakng_loader", "onnxruntime"),
    file_suffixes={"model": ".onnx", "voices": ".npz"},
    opens=("*.onnx", "*.npz", "*.bin"),
)
