"""A model as LoadModel, the models file or the catalog requests it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Voice
    from voiceplane_worker.packs.metadata import PackSource


class Residency(enum.Enum):
    """When a model comes and goes; the names are those of the ABI without their prefix."""

    ON_DEMAND = "on_demand"
    PRELOAD = "preload"
    PINNED = "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as it is asked for.

    Attributes:
        model_id: Unique within the worker.
        source: Where the pack is; None for the one that the catalog names.
        family: Empty: as the pack says; otherwise the two must agree.
        residency: When it comes and goes.
        ttl_ms: 0 for the worker's own.
        min_residency_ms: 0 for the worker's own.
        warm_up_text: Empty: the pack's own.
        base_model_id: A LoRA's base model.
        options: Family options, over those of the pack.
        voices: Those that sessions can have, the first by default; a language overrides the pack's. Empty: all.
        languages: What it speaks (BCP 47). Empty: what its voices say.
        declaration: Who declares it and in which version, in the declarer's own words; empty for nobody.
    """

    model_id: str
    source: PackSource | None = None
    family: str = ""
    residency: Residency = Residency.ON_DEMAND
    ttl_ms: int = 0
    min_residency_ms: int = 0
    warm_up_text: str = ""
    base_model_id: str = ""
    options: dict[str, str] = field(default_factory=dict)
    voices: tuple[Voice, ...] = ()
    languages: tuple[str, ...] = ()
    declaration: str = ""
