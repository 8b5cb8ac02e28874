"""The CustomResourceDefinitions (CRDs), generated from the pydantic models of the specs.

The schemas are structural in the sense of Kubernetes: no references, no alternatives but null, a type everywhere.
"""

from __future__ import annotations

from typing import Any

from voiceplane_common.kube.names import GROUP, VERSION

from voiceplane_operator.specs.base import Described
from voiceplane_operator.specs.pool import TTSWorkerPoolSpec, TTSWorkerPoolStatus
from voiceplane_operator.specs.voicemodel import VoiceModelSpec, VoiceModelStatus

# The owned objects are called NAME-tts, and a Service's name is a DNS label.
_POOL_NAME_RULE = {
    "rule": "size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "message": "metadata.name must be at most 50 lower-case letters, digits and '-', beginning with a letter: "
    "Services are named after it",
}

_MODEL_RULES = [
    {
        "rule": "size(self.metadata.name) <= 128 || has(self.spec.modelId)",
        "message": "metadata.name is longer than the 128 characters of a modelId: set spec.modelId, "
        "or choose a shorter name",
    },
    {
        "rule": "!has(self.spec.lora) || self.spec.lora.baseModelRef.name != self.metadata.name",
        "message": "lora.baseModelRef names this VoiceModel itself: name the base model",
    },
]


def voicemodels() -> dict[str, Any]:
    """The CRD of VoiceModel."""
    definition = _definition(
        kind="VoiceModel",
        plural="voicemodels",
        short_names=["vmodel"],
        spec=VoiceModelSpec,
        status=VoiceModelStatus,
        columns=[
            _column("Family", ".spec.family"),
            _column("Model", ".status.modelId"),
            _column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            _column("Phase", ".status.phase"),
            _column("Resident", ".status.residency"),
            _column("Sessions", ".status.sessions", type="integer", priority=1),
            _column("Last used", ".status.lastUsed", type="date", priority=1),
            _column("Age", ".metadata.creationTimestamp", type="date"),
        ],
    )
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = _MODEL_RULES
    return definition


def ttsworkerpools() -> dict[str, Any]:
    """The CRD of TTSWorkerPool."""
    definition = _definition(
        kind="TTSWorkerPool",
        plural="ttsworkerpools",
        short_names=["ttspool"],
        spec=TTSWorkerPoolSpec,
        status=TTSWorkerPoolStatus,
        columns=[
            _column("Device", ".spec.device"),
            _column("Replicas", ".status.replicas", type="integer"),
            _column("Ready", ".status.readyReplicas", type="integer"),
            _column("Phase", ".status.phase"),
            _column("Sessions", ".status.sessions", type="integer"),
            _column("Image", ".spec.image", priority=1),
            _column("Age", ".metadata.creationTimestamp", type="date"),
        ],
    )
    version = definition["spec"]["versions"][0]
    version["subresources"]["scale"] = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = [_POOL_NAME_RULE]
    return definition


def _column(name: str, path: str, *, type: str = "string", priority: int = 0) -> dict[str, Any]:  # noqa: A002
    column: dict[str, Any] = {"name": name, "type": type, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def _definition(
    *,
    kind: str,
    plural: str,
    short_names: list[str],
    spec: type[Described],
    status: type[Described],
    columns: list[dict[str, Any]],
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": (spec.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this schema."},
            "kind": {"type": "string", "description": "The kind of this object."},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            "status": structural(status),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "voiceplane", "app.kubernetes.io/part-of": "voiceplane"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short_names,
                "categories": ["voiceplane"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def structural(model: type[Described]) -> dict[str, Any]:
    """The structural schema of a model."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _inlined(schema, schema.get("$defs", {}), _rules_by_name(model))


def _rules_by_name(model: type[Described]) -> dict[str, type[Described]]:
    """Every object type that a model contains, by its name; names are unique."""
    found: dict[str, type[Described]] = {}
    pending: list[Any] = [model]
    while pending:
        each = pending.pop()
        if isinstance(each, type) and issubclass(each, Described) and each.__name__ not in found:
            found[each.__name__] = each
            pending.extend(field.annotation for field in each.model_fields.values())
        pending.extend(getattr(each, "__args__", ()))
    return found


def _inlined(schema: dict[str, Any], definitions: dict[str, Any], models: dict[str, type[Described]]) -> dict[str, Any]:
    """A schema without references, titles and alternatives of null."""
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]] | rest, definitions, models)
    if "anyOf" in schema and "x-kubernetes-int-or-string" not in schema:
        (only,) = (each for each in schema["anyOf"] if each != {"type": "null"})
        rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        inner = _inlined(only, definitions, models)
        return inner | _inlined(rest, definitions, models)
    result: dict[str, Any] = {}
    for key, value in schema.items():
        match key:
            case "title" | "$defs":
                continue
            case "properties":
                result[key] = {name: _inlined(each, definitions, models) for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                result[key] = _inlined(value, definitions, models)
            case "default":
                result |= _default(value, schema)
            case _:
                result[key] = value
    if schema.get("type") == "object" and (owner := models.get(schema.get("title", ""))) and owner.rules:
        result["x-kubernetes-validations"] = [{"rule": each.rule, "message": each.message} for each in owner.rules]
    return _on_one_line(result)


def _default(value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The default that the API server fills in; none where an absent field means the same."""
    if value in ("", [], (), None):
        return {}
    if not isinstance(value, dict):
        return {"default": value}
    inner = (each.get("default") for each in schema.get("properties", {}).values())
    # The API server then fills in the defaults of the fields.
    return {"default": {}} if any(each not in ("", [], None, {}) for each in inner) else {}


def _on_one_line(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose description has no line breaks."""
    if isinstance(text := schema.get("description"), str):
        schema["description"] = " ".join(text.split())
    return schema
