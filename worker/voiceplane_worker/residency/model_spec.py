"""A model as LoadModel, the models file or the catalog requests it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Voice
    from voiceplane_worker.packs.metadata import PackSource


class Residency(enum.Enum):
    """When a model is loaded and evicted; the names are those of the gRPC API without their prefix."""

    ON_DEMAND = "on_demand"
    PRELOAD = "preload"
    PINNED = "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A requested model.

    Attributes:
        model_id: Unique within the worker.
        source: The source of its pack; None for the one in the catalog.
        family: Empty for the pack's; otherwise the two must agree.
        residency: When it is loaded and evicted.
        ttl_ms: 0 for the worker's setting.
        min_residency_ms: 0 for the worker's setting.
        load_timeout_ms: 0 for the worker's setting.
        warm_up_text: Empty for the pack's.
        base_model_id: For a LoRA, its base model.
        options: Family options; they override those of the pack.
        voices: Voices for sessions, the first is the default; a language overrides the pack's. Empty for all.
        languages: Supported languages (BCP 47). Empty for those of its voices.
        declaration: Opaque id of the declaring object and its version; empty without one.
    """

    model_id: str
    source: PackSource | None = None
    family: str = ""
    residency: Residency = Residency.ON_DEMAND
    ttl_ms: int = 0
    min_residency_ms: int = 0
    load_timeout_ms: int = 0
    warm_up_text: str = ""
    base_model_id: str = ""
    options: dict[str, str] = field(default_factory=dict)
    voices: tuple[Voice, ...] = ()
    languages: tuple[str, ...] = ()
    declaration: str = ""


def with_rules(have: ModelSpec, want: ModelSpec) -> ModelSpec:
    """A spec with the residency rules, voices and languages of a request."""
    return replace(
        have,
        residency=want.residency,
        ttl_ms=want.ttl_ms,
        min_residency_ms=want.min_residency_ms,
        load_timeout_ms=want.load_timeout_ms,
        declaration=want.declaration or have.declaration,
        voices=want.voices if want.declaration else want.voices or have.voices,
        languages=want.languages if want.declaration else want.languages or have.languages,
    )


def with_content(have: ModelSpec, want: ModelSpec) -> ModelSpec:
    """A spec with the content (source, family, options) of a request; empty fields keep their value."""
    if want.declaration:  # it is complete: an empty field removes a former value
        return want
    return replace(
        have,
        source=want.source or have.source,
        family=want.family or have.family,
        warm_up_text=want.warm_up_text or have.warm_up_text,
        base_model_id=want.base_model_id or have.base_model_id,
        options=want.options or have.options,
    )
