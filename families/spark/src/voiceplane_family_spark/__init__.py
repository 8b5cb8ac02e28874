"""Spark-TTS: what the worker knows of the family before it imports the adapter."""

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family

FAMILY = Family(
    traits=FamilyTraits(name="spark", streaming=True, voice_cloning=True),
    module="voiceplane_family_spark.adapter",
    adapter="SparkAdapter",
    needs=("torch", "torchaudio", "transformers", "flashtts", "safetensors"),
    opens=("config.yaml", "BiCodec/config.yaml", "BiCodec/model.safetensors", "LLM/", "wav2vec2-large-xlsr-53/"),
)
