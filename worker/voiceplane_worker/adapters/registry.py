"""The families by name: the worker's own, and those of other packages, see docs/how-to/add-a-family.md.

A family's libraries are imported when its adapter is first asked for, and not before.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, cast

from voiceplane_common.errors import failed_precondition, invalid

from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family
from voiceplane_worker.adapters.foreign import Foreign, find_foreign

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Adapter


_FAMILIES = {
    family.traits.name: family
    for family in (
        Family(
            traits=FamilyTraits(name="piper", streaming=True),
            module="voiceplane_worker.adapters.piper.adapter",
            adapter="PiperAdapter",
            needs=("piper", "onnx", "onnxruntime"),
        ),
        Family(
            traits=FamilyTraits(name="kokoro", streaming=False),
            module="voiceplane_worker.adapters.kokoro.adapter",
            adapter="KokoroAdapter",
            needs=("kokoro_onnx", "phonemizer", "espeakng_loader", "onnxruntime"),
        ),
        Family(
            traits=FamilyTraits(name="csm", streaming=True, voice_cloning=True, lora=True),
            module="voiceplane_worker.adapters.csm.adapter",
            adapter="CsmAdapter",
            needs=("torch", "transformers", "peft", "safetensors"),
        ),
        Family(
            traits=FamilyTraits(name="xtts", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.xtts.adapter",
            adapter="XttsAdapter",
            needs=("torch", "TTS", "torchcodec", "transformers", "cutlet", "unidic_lite", "pypinyin", "safetensors"),
        ),
        Family(
            traits=FamilyTraits(name="parler", streaming=True),
            module="voiceplane_worker.adapters.parler.adapter",
            adapter="ParlerAdapter",
            needs=("torch", "parler_tts", "safetensors"),
        ),
        Family(
            traits=FamilyTraits(name="cosyvoice2", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.cosyvoice2.adapter",
            adapter="CosyVoice2Adapter",
            needs=("torch", "torchaudio", "transformers", "cosyvoice", "matcha", "whisper", "onnxruntime"),
        ),
        Family(
            traits=FamilyTraits(name="spark", streaming=True, voice_cloning=True),
            module="voiceplane_worker.adapters.spark.adapter",
            adapter="SparkAdapter",
            needs=("torch", "torchaudio", "transformers", "flashtts", "safetensors"),
        ),
        Family(
            traits=FamilyTraits(name="melo", streaming=True),
            module="voiceplane_worker.adapters.melo.adapter",
            adapter="MeloAdapter",
            needs=("torch", "transformers", "safetensors", "melo"),
        ),
        Family(
            traits=FamilyTraits(name="mock", streaming=True, lora=True),
            module="voiceplane_worker.adapters.mock",
            adapter="MockAdapter",
        ),
    )
}


def families() -> tuple[str, ...]:
    """The names of all families, installed or not."""
    return tuple(_known())


def traits() -> tuple[FamilyTraits, ...]:
    """What the families can do whose libraries are installed here."""
    return tuple(family.traits for family in _known().values() if not family.missing)


def lacking() -> dict[str, list[str]]:
    """The modules that are not installed here, of those that each family needs."""
    return {name: family.missing for name, family in _known().items()}


def remedy(name: str) -> str:
    """The command that installs what a family needs."""
    return _known()[name].remedy


def broken() -> dict[str, str]:
    """Families that other packages would bring, and why they can't be used."""
    return {name: error.message for name, error in _foreign().broken.items()}


def traits_of(name: str) -> FamilyTraits:
    """What a family can do; raises as find_adapter does, and imports nothing."""
    return _installed(name).traits


def find_adapter(name: str) -> Adapter:
    """The adapter of a family.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT for an unknown family; FAILED_PRECONDITION, reason FAMILY_NOT_INSTALLED, if
            its libraries are not installed here, or FAMILY_BROKEN, if the package that brings it is wrong.
    """
    family = _installed(name)
    try:
        adapter = getattr(importlib.import_module(family.module), family.adapter)
    except (ImportError, AttributeError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        message = f"{family.module}:{family.adapter}, the adapter of {name!r}, can't be imported ({why}): "
        mend = "upgrade or reinstall the package that brings it"
        raise failed_precondition("FAMILY_BROKEN", message + mend, field="family") from error
    return cast("Adapter", adapter())


@functools.cache
def _foreign() -> Foreign:
    return find_foreign(_FAMILIES)


def _known() -> dict[str, Family]:
    return _FAMILIES | _foreign().families


def _installed(name: str) -> Family:
    known = _known()
    if name not in known:
        if error := _foreign().broken.get(name):
            raise error
        raise invalid("family", f"unknown family {name!r}: use one of {', '.join(known)}")
    family = known[name]
    if missing := family.missing:
        raise failed_precondition(
            "FAMILY_NOT_INSTALLED",
            f"family {name!r} needs {' and '.join(missing)}: {family.remedy}",
            field="family",
        )
    return family
