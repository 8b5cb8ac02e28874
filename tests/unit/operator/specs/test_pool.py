"""A TTSWorkerPool's spec as the operator reads it: its defaults, its size, and fields of other versions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from voiceplane_operator.specs.pool import TTSWorkerPoolSpec


def spec(**fields: Any) -> TTSWorkerPoolSpec:
    return TTSWorkerPoolSpec.model_validate({"image": "worker:1"} | fields)


def test_an_image_is_enough() -> None:
    assert spec().model_dump() == {
        "image": "worker:1",
        "image_pull_policy": "IfNotPresent",
        "image_pull_secrets": (),
        "replicas": None,
        "autoscaling": None,
        "device": "cpu",
        "gpu": None,
        "default_model": "",
        "preload": (),
        "ttl_seconds": 600,
        "min_residency_seconds": 120,
        "resident_cap": 3,
        "memory_budget": None,
        "max_parallel_loads": 1,
        "load_timeout_seconds": None,
        "sessions_per_worker": 16,
        "drain_timeout_seconds": 60,
        "rollout": {"strategy": "surge", "max_unavailable": 1},
        "cache": {"claim_name": "", "host_path": "", "size_limit": None, "max_size": None},
        "prefetch": False,
        "credentials": (),
        "shared_memory": None,
        "tls": None,
        "resources": {"requests": {}, "limits": {}},
        "node_selector": {},
        "tolerations": (),
        "affinity": None,
        "runtime_class_name": "",
        "priority_class_name": "",
        "pod_template": None,
    }


def test_parts_have_defaults_of_their_own() -> None:
    read = spec(
        autoscaling={"maxReplicas": 4},
        gpu={"claim": {"deviceClassName": "gpu.nvidia.com"}},
        cache={"hostPath": "/packs"},
    )
    assert read.autoscaling is not None
    assert read.autoscaling.model_dump() == {
        "min_replicas": 1,
        "max_replicas": 4,
        "target_sessions_per_worker": None,
        "target_queue_depth": None,
        "scale_down_delay_seconds": 300,
    }
    assert read.gpu is not None
    assert read.gpu.model_dump() == {
        "resource_name": "",
        "count": None,
        "product": "",
        "claim": {"device_class_name": "gpu.nvidia.com", "count": 1, "selectors": ()},
    }
    assert (read.cache.claim_name, read.cache.host_path) == ("", "/packs")


@pytest.mark.parametrize(
    ("fields", "replicas"),
    [
        ({}, 1),
        ({"replicas": 0}, 0),
        ({"replicas": 5}, 5),
        ({"autoscaling": {"maxReplicas": 9, "targetQueueDepth": 2}}, 1),
        ({"autoscaling": {"minReplicas": 0, "maxReplicas": 9}}, 0),
        ({"autoscaling": {"minReplicas": 3, "maxReplicas": 9}, "replicas": 7}, 3),
    ],
)
def test_a_pool_starts_with_its_replicas_or_one_worker(fields: dict[str, Any], replicas: int) -> None:
    assert spec(**fields).starting_replicas == replicas


def test_free_form_objects_are_kept_as_they_are() -> None:
    toleration = {"key": "speech", "operator": "Exists"}
    overrides = {"spec": {"hostNetwork": True}, "metadata": {"labels": {"a-b": "C_d"}}}
    read = spec(tolerations=[toleration], podTemplate=overrides, affinity={"nodeAffinity": {"x": 1}})
    assert read.tolerations == (toleration,)
    assert (read.pod_template, read.affinity) == (overrides, {"nodeAffinity": {"x": 1}})


@pytest.mark.parametrize(
    ("quantities", "expected"), [({"memory": "2Gi", "cpu": 2}, {"memory": "2Gi", "cpu": 2}), ({}, {})]
)
def test_quantities_are_numbers_or_text(quantities: dict[str, Any], expected: dict[str, Any]) -> None:
    assert spec(resources={"limits": quantities}).resources.limits == expected


def test_a_field_that_only_a_newer_version_knows_is_ignored() -> None:
    assert spec(colour="red", rollout={"strategy": "recreate", "pace": 2}).rollout.strategy == "recreate"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"image": ""}, "image"),
        ({"image": None}, "image"),
        ({"replicas": -1}, "replicas"),
        ({"replicas": 1001}, "replicas"),
        ({"device": "tpu"}, "device"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy"),
        ({"residentCap": 0}, "residentCap"),
        ({"maxParallelLoads": 0}, "maxParallelLoads"),
        ({"sessionsPerWorker": 0}, "sessionsPerWorker"),
        ({"drainTimeoutSeconds": -1}, "drainTimeoutSeconds"),
        ({"ttlSeconds": -1}, "ttlSeconds"),
        ({"rollout": {"strategy": "at once"}}, "rollout.strategy"),
        ({"rollout": {"maxUnavailable": -1}}, "rollout.maxUnavailable"),
        ({"autoscaling": {}}, "autoscaling.maxReplicas"),
        ({"autoscaling": {"maxReplicas": 0}}, "autoscaling.maxReplicas"),
        ({"autoscaling": {"maxReplicas": 1, "targetQueueDepth": 0}}, "autoscaling.targetQueueDepth"),
        ({"gpu": {"count": 0}}, "gpu.count"),
        ({"gpu": {"claim": {}}}, "gpu.claim.deviceClassName"),
        ({"credentials": [{}]}, "credentials.0.name"),
    ],
)
def test_an_invalid_field_is_refused_by_its_path(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        spec(**fields)
    assert [".".join(str(part) for part in each["loc"]) for each in raised.value.errors()] == [where]


def test_equal_specs_compare_equal() -> None:
    assert spec(replicas=1) == spec(replicas=1)
    assert spec(replicas=1) != spec()
