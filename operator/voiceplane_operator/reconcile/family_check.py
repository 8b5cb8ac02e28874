"""Models whose family no worker can load: why, and which families there are. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_operator.declarations import Refusal
from voiceplane_operator.workers.families import can_load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from voiceplane_operator.resources import Model, Pool
    from voiceplane_operator.workers.families import Families

FAMILY_NOT_AVAILABLE = "FamilyNotAvailable"
LORA_NOT_SUPPORTED = "LoraNotSupported"
# A message names at most this many models.
MAX_NAMED = 5


def unavailable(model: Model, workers: Collection[Families]) -> Refusal | None:
    """Why none of the connected workers can load a model; None if one can, or if none is connected.

    Args:
        model: The model.
        workers: The families of each connected worker of its pools.
    """
    family, lora = model.spec.family, model.spec.lora is not None
    if not workers or any(can_load(families, family, lora=lora) for families in workers):
        return None
    if any(family in families for families in workers):
        with_lora = {name for families in workers for name, each in families.items() if each.lora}
        message = (
            f"family {family} takes no LoRA adapter; available families that do: {_listed(with_lora)}. "
            "Remove spec.lora, or create the VoiceModel with another family"
        )
        return Refusal(reason=LORA_NOT_SUPPORTED, message=message)
    message = (
        f"no worker of the matching TTSWorkerPools has family {family}; available families: "
        f"{_listed(set().union(*workers))}. Use an image that has the family, or create the VoiceModel with another one"
    )
    return Refusal(reason=FAMILY_NOT_AVAILABLE, message=message)


def missing_in_pool(pool: Pool, models: Iterable[Model], workers: Mapping[str, Families], *, gating: bool) -> str:
    """Which models that are meant for a pool its connected workers cannot load; empty if there are none.

    The default and the preloaded models gate a worker's readiness, so one worker without their family is a problem. Of
    the other models, those count that select this pool by its labels, once none of its workers has their family: the
    rest may well be meant for other pools, and during a rollout only a part of the workers has a new family.

    Args:
        pool: The pool.
        models: The VoiceModels that select it.
        workers: The families of each connected worker, by name.
        gating: Whether the default and the preloaded models are checked, or the other ones.
    """
    gates = {pool.spec.default_model, *pool.spec.preload}
    missing = []
    for model in sorted(models, key=lambda each: each.model_id):
        if (model.model_id in gates) != gating or (not gating and model.spec.pool_selector.selects_all):
            continue
        lora = model.spec.lora is not None
        lacking = [name for name, each in workers.items() if not can_load(each, model.spec.family, lora=lora)]
        if lacking and (gating or len(lacking) == len(workers)):
            what = f"family {model.spec.family}" + (" with LoRA" if lora else "")
            missing.append(f"model {model.model_id} needs {what}, which {len(lacking)} of {len(workers)} workers lack")
    if not missing:
        return ""
    rest = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    available = _listed(set().union(*workers.values()))
    return f"{'; '.join(missing[:MAX_NAMED])}{rest}; available families: {available}. Set spec.image to one that has it"


def _listed(families: Collection[str]) -> str:
    return ", ".join(sorted(families)) or "none"
