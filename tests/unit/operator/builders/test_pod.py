"""A pool's pod template: which edits replace the pods, and which GPU they get."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_operator.builders.pod import pod_template, template_hash
from voiceplane_operator.resources import Pool
from voiceplane_operator.specs.pool import TTSWorkerPoolSpec

KEEPS_PODS = {
    "replicas": 3,
    "autoscaling": {"maxReplicas": 4, "targetQueueDepth": 2},
    "rollout": {"strategy": "recreate", "maxUnavailable": 2},
}
REPLACES_PODS: dict[str, Any] = {
    "image": "worker:2",
    "imagePullPolicy": "Never",
    "imagePullSecrets": [{"name": "registry"}],
    "device": "cpu",
    "gpu": {"count": 2},
    "defaultModel": "second",
    "preload": ["second"],
    "ttlSeconds": 601,
    "minResidencySeconds": 121,
    "residentCap": 4,
    "memoryBudget": "2Gi",
    "maxParallelLoads": 2,
    "loadTimeoutSeconds": 7,
    "sessionsPerWorker": 17,
    "drainTimeoutSeconds": 61,
    "cache": {"claimName": "packs"},
    "prefetch": True,
    "credentials": [{"name": "s3.keys"}],
    "sharedMemory": "1Gi",
    "tls": {"secretName": "certificates"},
    "resources": {"limits": {"memory": "2Gi"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "speech", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "runtimeClassName": "nvidia",
    "priorityClassName": "high",
    "podTemplate": {"spec": {"hostNetwork": True}},
}


def template(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "speech", "name": "p", "uid": "1", "generation": 1}
    whole = {"image": "worker:1", "device": "cuda", "defaultModel": "first"} | spec
    return pod_template(Pool.read({"metadata": metadata, "spec": whole}))


def test_every_field_has_a_row() -> None:
    fields = {field.alias for field in TTSWorkerPoolSpec.model_fields.values()}
    assert fields == KEEPS_PODS.keys() | REPLACES_PODS.keys()


@pytest.mark.parametrize("field", KEEPS_PODS)
def test_an_edit_of_size_or_rollout_keeps_the_pods(field: str) -> None:
    assert template_hash(template(**{field: KEEPS_PODS[field]})) == template_hash(template())


@pytest.mark.parametrize("field", REPLACES_PODS)
def test_an_edit_of_any_other_field_replaces_the_pods(field: str) -> None:
    assert template_hash(template(**{field: REPLACES_PODS[field]})) != template_hash(template())


@pytest.mark.parametrize(
    ("gpu", "resource", "count"),
    [
        ({}, "nvidia.com/gpu", "1"),
        ({"count": 2}, "nvidia.com/gpu", "2"),
        ({"resourceName": "nvidia.com/mig-1g.10gb"}, "nvidia.com/mig-1g.10gb", "1"),
        ({"resourceName": "nvidia.com/gpu.shared"}, "nvidia.com/gpu.shared", "1"),
    ],
)
def test_an_extended_gpu_is_a_limit_and_a_toleration(gpu: dict[str, Any], resource: str, count: str) -> None:
    spec = template(gpu=gpu | {"product": "NVIDIA-L4"})["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {resource: count}}
    assert spec["tolerations"] == [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}


def test_a_claim_takes_the_place_of_an_extended_gpu() -> None:
    spec = template(gpu={"claim": {"deviceClassName": "gpu.nvidia.com"}})["spec"]
    assert spec["containers"][0]["resources"] == {"claims": [{"name": "gpu"}]}
    assert spec["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "p-tts"}]
    assert "tolerations" not in spec


def test_credentials_are_optional_mounts_by_name() -> None:
    pod = template(credentials=[{"name": "s3.keys"}, {"name": "hub"}])["spec"]
    container = pod["containers"][0]
    secrets = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
    assert [secret["secretName"] for secret in secrets.values()] == ["s3.keys", "hub"]
    assert all(secret["optional"] for secret in secrets.values())
    paths = {each["name"]: each["mountPath"] for each in container["volumeMounts"] if each["name"] in secrets}
    assert list(paths.values()) == ["/etc/voiceplane/credentials/s3.keys", "/etc/voiceplane/credentials/hub"]
    variable = {"name": "VOICEPLANE_WORKER__CREDENTIALS_DIR", "value": "/etc/voiceplane/credentials"}
    assert variable in container["env"]
    assert variable not in template()["spec"]["containers"][0]["env"]


def test_prefetch_and_the_size_of_the_cache_are_settings_of_the_worker() -> None:
    (container,) = template(prefetch=True, cache={"maxSize": "20Gi"})["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["VOICEPLANE_MODEL_MANAGER__PREFETCH"] == "true"
    assert environment["VOICEPLANE_WORKER__CACHE_MAX_BYTES"] == str(20 << 30)
    (plain,) = template()["spec"]["containers"]
    assert not any("PREFETCH" in each["name"] or "CACHE_MAX" in each["name"] for each in plain["env"])
