"""Which pools get which VoiceModels, and the LoadModel request of each.

A worker reports the declaration of each model. From it, a restarted operator knows what it asked for, and which models
a deleted VoiceModel left behind, without a finalizer or stored state.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.kube.names import GROUP
from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.quantities import integer_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voiceplane_common.kube.api import Key

    from voiceplane_operator.resources import Model, Pool

PREFIX = f"{GROUP}/voicemodel/"
_RESIDENCY = {
    "onDemand": tts_pb2.RESIDENCY_ON_DEMAND,
    "preload": tts_pb2.RESIDENCY_PRELOAD,
    "pinned": tts_pb2.RESIDENCY_PINNED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why no worker gets a VoiceModel.

    Attributes:
        reason: CamelCase, as in a condition.
        message: What is wrong and what to do.
    """

    reason: str
    message: str


def refusals(models: Iterable[Model]) -> dict[Key, Refusal]:
    """The VoiceModels that cannot be served as they are.

    Args:
        models: All VoiceModels.
    """
    by_id: dict[tuple[str, str], list[Model]] = defaultdict(list)
    names: dict[Key, Model] = {}
    for model in models:
        if not model.meta.deleting:
            by_id[model.key.namespace, model.model_id].append(model)
            names[model.key] = model
    refused: dict[Key, Refusal] = {}
    for (_, model_id), claimants in by_id.items():
        first, *others = sorted(claimants, key=lambda each: (each.meta.created, each.meta.uid))
        for other in others:
            refused[other.key] = Refusal(
                reason="DuplicateModelId",
                message=f"modelId {model_id} belongs to the older VoiceModel {first.key.name}: "
                "set another spec.modelId, or delete one of the two",
            )
    for key, model in names.items():
        if key not in refused and (refusal := _own_refusal(model, names)):
            refused[key] = refusal
    return refused


def _own_refusal(model: Model, names: Mapping[Key, Model]) -> Refusal | None:
    lora = model.spec.lora
    if lora:
        base = names.get(model.key._replace(name=lora.base_model_ref.name))
        if base is None:
            message = f"lora.baseModelRef: this namespace has no VoiceModel {lora.base_model_ref.name}: apply it"
            return Refusal(reason="BaseModelMissing", message=message)
        if base.spec.lora:
            message = f"lora.baseModelRef: VoiceModel {base.key.name} is a LoRA itself: name its base"
            return Refusal(reason="BaseModelIsLora", message=message)
    return None


def wanted_by(pool: Pool, models: Iterable[Model], refused: Mapping[Key, Refusal]) -> dict[str, Model]:
    """The VoiceModels that a pool's workers get, by model id."""
    return {
        model.model_id: model
        for model in models
        if not model.meta.deleting and model.key not in refused and selects(model, pool) and fits(model, pool)
    }


def selects(model: Model, pool: Pool) -> bool:
    """Whether a VoiceModel selects a pool."""
    return model.key.namespace == pool.key.namespace and model.spec.pool_selector.matches(pool.meta.labels)


def fits(model: Model, pool: Pool) -> bool:
    """Whether a VoiceModel fits into the memory budget of a pool's workers."""
    if model.spec.memory is None or pool.spec.memory_budget is None:
        return True
    return integer_value(model.spec.memory) <= integer_value(pool.spec.memory_budget)


def request_of(model: Model, base: Model | None = None) -> tts_pb2.LoadModelRequest:
    """The LoadModel request of a VoiceModel. This is the one place that converts its fields.

    Args:
        model: The VoiceModel.
        base: The base of a LoRA, if it is declared.
    """
    spec = model.spec
    source = spec.lora.source if spec.lora else spec.source
    request = tts_pb2.LoadModelRequest(
        model_id=model.model_id,
        family=spec.family,
        residency=_RESIDENCY[spec.residency.policy],
        ttl_ms=(spec.residency.ttl_seconds or 0) * 1000,
        min_residency_ms=(spec.residency.min_residency_seconds or 0) * 1000,
        load_timeout_ms=(spec.load_timeout_seconds or 0) * 1000,
        warm_up_text=spec.warm_up_text,
        base_model_id=base.model_id if base else "",
        options=dict(spec.options),
        declare_only=spec.residency.policy == "onDemand",
        voices=[tts_pb2.Voice(name=voice.name, language=voice.language) for voice in spec.voices],
        languages=spec.languages,
    )
    if source:
        request.source.uri = source.uri
        request.source.sha256 = source.sha256
        request.source.credentials = source.secret_ref.name if source.secret_ref else ""
        request.source.include.extend(source.include)
        request.source.exclude.extend(source.exclude)
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()[:16]
    request.declaration = f"{PREFIX}{model.key.namespace}/{model.key.name}/{model.meta.uid}/{digest}"
    return request


def is_ours(declaration: str) -> bool:
    """Whether a VoiceModel declared a worker's model."""
    return declaration.startswith(PREFIX)
