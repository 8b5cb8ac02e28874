"""The families by name. A family's libraries are imported when its adapter is first asked for, and not before."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from voiceplane_common.errors import failed_precondition, invalid

from voiceplane_worker.adapters.base import FamilyTraits

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Where a family's adapter is, what it can do, and the modules that its extra of voiceplane-worker installs."""

    traits: FamilyTraits
    module: str
    adapter: str
    needs: tuple[str, ...] = ()


_FAMILIES = {
    family.traits.name: family
    for family in (
        _Family(
            traits=FamilyTraits(name="piper", streaming=True),
            module="voiceplane_worker.adapters.piper.adapter",
            adapter="PiperAdapter",
            needs=("piper", "onnx", "onnxruntime"),
        ),
        _Family(
            traits=FamilyTraits(name="kokoro", streaming=False),
            module="voiceplane_worker.adapters.kokoro.adapter",
            adapter="KokoroAdapter",
            needs=("kokoro_onnx", "phonemizer", "espeakng_loader", "onnxruntime"),
        ),
        _Family(
            traits=FamilyTraits(name="csm", streaming=True, voice_cloning=True, lora=True),
            module="voiceplane_worker.adapters.csm.adapter",
            adapter="CsmAdapter",
            needs=("torch", "transformers", "peft", "safetensors"),
        ),
        _Family(
            traits=FamilyTraits(name="xtts", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.xtts.adapter",
            adapter="XttsAdapter",
            needs=("torch", "TTS", "torchcodec", "transformers", "cutlet", "unidic_lite", "pypinyin", "safetensors"),
        ),
        _Family(
            traits=FamilyTraits(name="parler", streaming=True),
            module="voiceplane_worker.adapters.parler.adapter",
            adapter="ParlerAdapter",
            needs=("torch", "parler_tts", "safetensors"),
        ),
        _Family(
            traits=FamilyTraits(name="cosyvoice2", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.cosyvoice2.adapter",
            adapter="CosyVoice2Adapter",
            needs=("torch", "cosyvoice", "onnxruntime"),
        ),
        _Family(
            traits=FamilyTraits(name="spark", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.spark.adapter",
            adapter="SparkAdapter",
            needs=("torch", "transformers", "flashtts"),
        ),
        _Family(
            traits=FamilyTraits(name="melo", streaming=False),
            module="voiceplane_worker.adapters.melo.adapter",
            adapter="MeloAdapter",
            needs=("torch", "transformers", "melo"),
        ),
        _Family(
            traits=FamilyTraits(name="mock", streaming=True, lora=True),
            module="voiceplane_worker.adapters.mock",
            adapter="MockAdapter",
        ),
    )
}


def families() -> tuple[str, ...]:
    """The names of all families, installed or not."""
    return tuple(_FAMILIES)


def traits() -> tuple[FamilyTraits, ...]:
    """What the families can do whose libraries are installed here."""
    return tuple(family.traits for family in _FAMILIES.values() if not _missing(family))


def lacking() -> dict[str, list[str]]:
    """The modules that are not installed here, of those that each family needs."""
    return {name: _missing(family) for name, family in _FAMILIES.items()}


def traits_of(name: str) -> FamilyTraits:
    """What a family can do; raises as find_adapter does, and imports nothing."""
    return _installed(name).traits


def find_adapter(name: str) -> Adapter:
    """The adapter of a family.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT for an unknown family; FAILED_PRECONDITION, reason FAMILY_NOT_INSTALLED, if
            its libraries are not installed here.
    """
    family = _installed(name)
    return cast("Adapter", getattr(importlib.import_module(family.module), family.adapter)())


def _installed(name: str) -> _Family:
    family = _FAMILIES.get(name)
    if family is None:
        raise invalid("family", f"unknown family {name!r}: use one of {', '.join(_FAMILIES)}")
    if missing := _missing(family):
        raise failed_precondition(
            "FAMILY_NOT_INSTALLED",
            f"family {name!r} needs {' and '.join(missing)}: install voiceplane-worker[{name}]",
            field="family",
        )
    return family


def _missing(family: _Family) -> list[str]:
    return [module for module in family.needs if find_spec(module) is None]
