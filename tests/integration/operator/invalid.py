"""Manifests that the API server must refuse, each with the field and the message that the user reads."""

from __future__ import annotations

from typing import Any, NamedTuple

NAME = "must be a name of lower-case letters, digits, '-' and '.', such as my-secret"
QUANTITY = "must be a positive quantity, such as 1500Mi or 2Gi of memory, or 500m of cpu"
SHA256 = "must be the 64 lower-case hex digits of the pack's SHA-256, without a prefix such as sha256:"
SOURCE = "must begin with file:///, https://, s3://, gs://, az://, hf://, oci:// or package: and name something"
FAMILY = "must be a lower-case letter, then lower-case letters, digits and '_', such as piper"
LANGUAGE = "must be a BCP 47 language tag, such as en or en-US"
MODEL_ID = (
    "must be letters, digits, '.', '_' and '-', beginning and ending with a letter or digit, such as en_US-joe-medium"
)
TTL = "minResidencySeconds is more than ttlSeconds: lower it, or raise ttlSeconds"
RESIDENT_CAP = "residentCap is less than the default and preloaded models: raise residentCap or shorten preload"
RESOURCE = "must be an extended resource, such as nvidia.com/gpu, nvidia.com/mig-1g.10gb or nvidia.com/gpu.shared"
HOST_PATH = "must be an absolute path without '..', such as /var/lib/voiceplane"
VALUES = "values must name at least one value for In and NotIn, and none for Exists and DoesNotExist"
MODEL_NAME = "metadata.name is longer than the 128 characters of a modelId: set spec.modelId, or choose a shorter name"
POOL_NAME = (
    "metadata.name must be at most 50 lower-case letters, digits and '-', beginning with a letter: "
    "Services are named after it"
)


class Invalid(NamedTuple):
    """A spec that is refused.

    Attributes:
        spec: Laid over a valid one.
        field: What the message is about, as the API server names it.
        message: How the message ends.
        name: Of the object.
    """

    spec: dict[str, Any]
    field: str
    message: str
    name: str = "example"


def _source(**fields: Any) -> dict[str, Any]:
    return {"source": {"uri": "file:///voices/joe", **fields}}


def _lora(base: str, **spec: Any) -> dict[str, Any]:
    return {
        "family": "csm",
        "lora": {"baseModelRef": {"name": base}, "source": {"uri": "file:///voices/lora"}},
        **spec,
    }


def _selector(**requirement: Any) -> dict[str, Any]:
    return {"poolSelector": {"matchExpressions": [{"key": "zone", **requirement}]}}


VOICEMODELS = {
    "family in upper case": Invalid({"family": "Piper"}, "spec.family", FAMILY),
    "family with a hyphen": Invalid({"family": "my-family"}, "spec.family", FAMILY),
    "family that begins with a digit": Invalid({"family": "2piper"}, "spec.family", FAMILY),
    "family empty": Invalid({"family": ""}, "spec.family", "should be at least 1 chars long"),
    "family too long": Invalid({"family": "a" * 64}, "spec.family", "may not be more than 63 bytes"),
    "family missing": Invalid({"family": None}, "spec.family", "Required value"),
    "family of a wrong type": Invalid(
        {"family": 7}, "spec.family", 'spec.family in body must be of type string: "integer"'
    ),
    "modelId with a space": Invalid({"modelId": "a voice"}, "spec.modelId", MODEL_ID),
    "modelId empty": Invalid({"modelId": ""}, "spec.modelId", "should be at least 1 chars long"),
    "modelId too long": Invalid({"modelId": "a" * 129}, "spec.modelId", "may not be more than 128 bytes"),
    "source over http": Invalid(_source(uri="http://example.com/a"), "spec.source.uri", SOURCE),
    "source with a relative path": Invalid(_source(uri="file://voices/joe"), "spec.source.uri", SOURCE),
    "source that is a path": Invalid(_source(uri="/voices/joe"), "spec.source.uri", SOURCE),
    "source without a URI": Invalid(_source(uri=None), "spec.source.uri", "Required value"),
    "sha256 with a prefix": Invalid(_source(sha256="sha256:" + "a" * 64), "spec.source.sha256", SHA256),
    "sha256 in upper case": Invalid(_source(sha256="A" * 64), "spec.source.sha256", SHA256),
    "sha256 too short": Invalid(_source(sha256="a" * 63), "spec.source.sha256", SHA256),
    "credentials for a file": Invalid(
        _source(secretRef={"name": "key"}),
        "spec.source",
        "secretRef does not apply to file: and package: sources: remove it",
    ),
    "Secret's name in upper case": Invalid(_source(secretRef={"name": "Key"}), "spec.source.secretRef.name", NAME),
    "language with an underscore": Invalid({"languages": ["en_US"]}, "spec.languages[0]", LANGUAGE),
    "language twice": Invalid({"languages": ["en", "en"]}, "spec.languages[1]", 'Duplicate value: "en"'),
    "voice twice": Invalid(
        {"voices": [{"name": "joe"}, {"name": "joe"}]}, "spec.voices[1]", 'Duplicate value: {"name":"joe"}'
    ),
    "voice without a name": Invalid({"voices": [{"language": "en"}]}, "spec.voices[0].name", "Required value"),
    "LoRA with an empty base": Invalid(
        _lora(""),
        "spec.lora",
        "baseModelRef.name is empty: name the VoiceModel of the base model",
    ),
    "LoRA without a base": Invalid(
        {"family": "csm", "lora": {"source": {"uri": "file:///a"}}}, "spec.lora.baseModelRef", "Required value"
    ),
    "LoRA and source": Invalid(
        _lora("base", **_source()),
        "spec",
        "source and lora.source are both set: a LoRA's files belong in lora.source, and its base has its own "
        "VoiceModel",
    ),
    "name too long to be the modelId": Invalid({}, "", MODEL_NAME, name="a" * 129),
    "LoRA of itself": Invalid(
        _lora("example"),
        "",
        "lora.baseModelRef names this VoiceModel itself: name the base model",
    ),
    "memory of zero": Invalid({"memory": 0}, "spec.memory", QUANTITY),
    "memory of zero Mi": Invalid({"memory": "0Mi"}, "spec.memory", QUANTITY),
    "memory with a wrong unit": Invalid({"memory": "2GB"}, "spec.memory", QUANTITY),
    "residency policy unknown": Invalid(
        {"residency": {"policy": "always"}},
        "spec.residency.policy",
        'supported values: "onDemand", "preload", "pinned"',
    ),
    "TTL of a pinned model": Invalid(
        {"residency": {"policy": "pinned", "ttlSeconds": 60}},
        "spec.residency",
        "ttlSeconds does not apply to a pinned model: remove it, or use policy preload",
    ),
    "minResidency over TTL": Invalid(
        {"residency": {"ttlSeconds": 60, "minResidencySeconds": 61}}, "spec.residency", TTL
    ),
    "TTL negative": Invalid(
        {"residency": {"ttlSeconds": -1}}, "spec.residency.ttlSeconds", "should be greater than or equal to 0"
    ),
    "In without values": Invalid(_selector(operator="In"), "spec.poolSelector.matchExpressions[0]", VALUES),
    "Exists with values": Invalid(
        _selector(operator="Exists", values=["a"]), "spec.poolSelector.matchExpressions[0]", VALUES
    ),
    "operator unknown": Invalid(
        _selector(operator="Like"),
        "spec.poolSelector.matchExpressions[0].operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
    ),
    "option that is no string": Invalid(
        {"options": {"speed": 1}}, "spec.options.speed", 'must be of type string: "integer"'
    ),
    "field unknown": Invalid({"voice": "joe"}, "", 'unknown field "spec.voice"'),
}

AUTOSCALING = {"maxReplicas": 3, "targetSessionsPerWorker": 8}
CUDA = {"device": "cuda"}
TTSWORKERPOOLS = {
    "name too long": Invalid({}, "", POOL_NAME, name="a" * 51),
    "name with a dot": Invalid({}, "", POOL_NAME, name="a.b"),
    "image missing": Invalid({"image": None}, "spec.image", "Required value"),
    "image empty": Invalid({"image": ""}, "spec.image", "should be at least 1 chars long"),
    "pull policy unknown": Invalid(
        {"imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy", 'supported values: "Always", "IfNotPresent", "Never"'
    ),
    "replicas negative": Invalid({"replicas": -1}, "spec.replicas", "should be greater than or equal to 0"),
    "replicas over the limit": Invalid({"replicas": 1001}, "spec.replicas", "should be less than or equal to 1000"),
    "replicas of a wrong type": Invalid({"replicas": "two"}, "spec.replicas", 'must be of type integer: "string"'),
    "replicas and autoscaling": Invalid(
        {"replicas": 2, "autoscaling": AUTOSCALING},
        "spec",
        "replicas and autoscaling are both set: remove one of them",
    ),
    "min over max": Invalid(
        {"autoscaling": AUTOSCALING | {"minReplicas": 4}},
        "spec.autoscaling",
        "minReplicas is more than maxReplicas: lower minReplicas or raise maxReplicas",
    ),
    "autoscaling without a target": Invalid(
        {"autoscaling": {"maxReplicas": 3}},
        "spec.autoscaling",
        "no target is set: set targetSessionsPerWorker, targetQueueDepth or both",
    ),
    "device unknown": Invalid({"device": "tpu"}, "spec.device", 'supported values: "cpu", "cuda"'),
    "GPU on a CPU": Invalid(
        {"device": "cpu", "gpu": {"count": 1}},
        "spec",
        "gpu is set on device cpu: set device to cuda, or remove gpu",
    ),
    "GPU without a domain": Invalid(CUDA | {"gpu": {"resourceName": "gpu"}}, "spec.gpu.resourceName", RESOURCE),
    "claim and resourceName": Invalid(
        CUDA | {"gpu": {"resourceName": "nvidia.com/gpu", "claim": {"deviceClassName": "gpu.nvidia.com"}}},
        "spec.gpu",
        "claim and resourceName are both set: use claim with dynamic resource allocation, else resourceName",
    ),
    "claim and count": Invalid(
        CUDA | {"gpu": {"count": 2, "claim": {"deviceClassName": "gpu.nvidia.com"}}},
        "spec.gpu",
        "count belongs to resourceName: with a claim, set claim.count",
    ),
    "residentCap below default and preload": Invalid(
        {"residentCap": 2, "defaultModel": "a", "preload": ["b", "c"]}, "spec", RESIDENT_CAP
    ),
    "preloaded twice": Invalid({"preload": ["a", "a"]}, "spec.preload[1]", 'Duplicate value: "a"'),
    "preload with a slash": Invalid({"preload": ["a/b"]}, "spec.preload[0]", MODEL_ID),
    "minResidency over TTL": Invalid({"ttlSeconds": 60}, "spec", TTL),
    "maxParallelLoads over residentCap": Invalid(
        {"residentCap": 1, "maxParallelLoads": 2},
        "spec",
        "maxParallelLoads is more than residentCap: lower it, or raise residentCap",
    ),
    "rollout unknown": Invalid(
        {"rollout": {"strategy": "blueGreen"}}, "spec.rollout.strategy", 'supported values: "surge", "recreate"'
    ),
    "cache of two kinds": Invalid(
        {"cache": {"claimName": "packs", "hostPath": "/packs"}},
        "spec.cache",
        "claimName and hostPath are both set: use one of them",
    ),
    "cache's limit with a claim": Invalid(
        {"cache": {"claimName": "packs", "sizeLimit": "1Gi"}},
        "spec.cache",
        "sizeLimit applies to an emptyDir only: remove it, or claimName and hostPath",
    ),
    "hostPath upwards": Invalid({"cache": {"hostPath": "/var/../etc"}}, "spec.cache.hostPath", HOST_PATH),
    "hostPath relative": Invalid({"cache": {"hostPath": "packs"}}, "spec.cache.hostPath", HOST_PATH),
    "memory budget of zero": Invalid({"memoryBudget": "0"}, "spec.memoryBudget", QUANTITY),
    "resources with a wrong unit": Invalid(
        {"resources": {"limits": {"memory": "2GB"}}}, "spec.resources.limits[memory]", QUANTITY
    ),
    "podTemplate as text": Invalid({"podTemplate": "a"}, "spec.podTemplate", 'must be of type object: "string"'),
    "field unknown": Invalid({"replica": 2}, "", 'unknown field "spec.replica"'),
}
CASES = {
    **{f"VoiceModel: {name}": ("VoiceModel", case) for name, case in VOICEMODELS.items()},
    **{f"TTSWorkerPool: {name}": ("TTSWorkerPool", case) for name, case in TTSWORKERPOOLS.items()},
}
