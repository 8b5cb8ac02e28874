"""Piper voices: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="piper", streaming=True),
    module="voiceplane_family_piper.adapter",
    adapter="PiperAdapter",
    needs=("piper", "onnx", "onnxruntime"),
    file_suffixes={"model": ".onnx", "config": ".onnx.json"},
    opens=("*.onnx", "*.onnx.json"),
)
