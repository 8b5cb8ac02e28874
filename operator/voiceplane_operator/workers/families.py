"""Which models a worker can load, by the families that it reports in GetCapabilities."""

from __future__ import annotations

from collections.abc import Mapping

from voiceplane_proto.v1 import tts_pb2

# A worker's families by name.
Families = Mapping[str, tts_pb2.Family]


def can_load(families: Families, family: str, *, lora: bool) -> bool:
    """Whether a worker with these families can load a model of a family, or a LoRA of one."""
    known = families.get(family)
    return known is not None and (known.lora or not lora)
