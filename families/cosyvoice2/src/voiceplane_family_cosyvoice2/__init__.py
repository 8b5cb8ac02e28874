"""CosyVoice 2: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="cosyvoice2", streaming=True, voice_cloning=True),
    module="voiceplane_family_cosyvoice2.adapter",
    adapter="CosyVoice2Adapter",
    needs=("torch", "torchaudio", "transformers", "cosyvoice", "matcha", "whisper", "onnxruntime"),
    opens=(
        "cosyvoice2.yaml",
        "CosyVoice-BlankEN/*.json",  # its weights are in llm.pt once more
        "CosyVoice-BlankEN/*.txt",
        *(f"{part}.{suffix}" for part in ("llm", "flow", "hift") for suffix in ("pt", "safetensors")),
        "spk2info.pt",
        "campplus.onnx",
        "speech_tokenizer_v2.onnx",
    ),
)
