"""The manifests of the objects that a pool owns, for server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voiceplane_operator.builders.pod import pod_template, template_hash
from voiceplane_operator.names import (
    GRPC_PORT,
    METRICS_PORT,
    MODELS_KEY,
    TEMPLATE_HASH,
    labels,
    owned_name,
    selector,
)

if TYPE_CHECKING:
    from voiceplane_operator.resources import Pool


def owned_objects(pool: Pool, *, models_file: str, replicas: int | None) -> list[dict[str, Any]]:
    """All objects that a pool owns, in the order in which they are applied.

    Args:
        pool: The pool.
        models_file: The models that a new pod starts with.
        replicas: Pods; None leaves the number to another scaler.
    """
    objects = [service_account(pool), config_map(pool, models_file), service(pool), disruption_budget(pool)]
    if claim := resource_claim_template(pool):
        objects.append(claim)
    return [*objects, deployment(pool, replicas=replicas)]


def deployment(pool: Pool, *, replicas: int | None) -> dict[str, Any]:
    """The workers."""
    template = pod_template(pool)
    surge = pool.spec.rollout.strategy == "surge"
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector(pool.key.name)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1 if surge else 0, "maxUnavailable": 0 if surge else 1},
        },
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": 600,
        "template": template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    made = _object("apps/v1", "Deployment", pool) | {"spec": spec}
    made["metadata"]["annotations"] = {TEMPLATE_HASH: template_hash(template)}
    return made


def service(pool: Pool) -> dict[str, Any]:
    """Headless: the orchestrator watches its EndpointSlices."""
    ports = [
        {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"},
        {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
    ]
    return _object("v1", "Service", pool) | {
        "spec": {"clusterIP": "None", "selector": selector(pool.key.name), "ports": ports}
    }


def config_map(pool: Pool, models_file: str) -> dict[str, Any]:
    """The models that a new pod starts with."""
    return _object("v1", "ConfigMap", pool) | {"data": {MODELS_KEY: models_file}}


def disruption_budget(pool: Pool) -> dict[str, Any]:
    """How many workers a drain of nodes may evict at once."""
    return _object("policy/v1", "PodDisruptionBudget", pool) | {
        "spec": {
            "maxUnavailable": pool.spec.rollout.max_unavailable,
            "selector": {"matchLabels": selector(pool.key.name)},
            # A worker that never gets ready must not block the drain of its node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }


def service_account(pool: Pool) -> dict[str, Any]:
    """The workers' identity, without rights and without a token."""
    return _object("v1", "ServiceAccount", pool) | {"automountServiceAccountToken": False}


def resource_claim_template(pool: Pool) -> dict[str, Any] | None:
    """The GPU of each worker by dynamic resource allocation; None if the pool does not use it."""
    claim = pool.spec.gpu.claim if pool.spec.gpu else None
    if claim is None:
        return None
    exactly: dict[str, Any] = {
        "deviceClassName": claim.device_class_name,
        "allocationMode": "ExactCount",
        "count": claim.count,
    }
    if claim.selectors:
        exactly["selectors"] = [{"cel": {"expression": each}} for each in claim.selectors]
    spec = {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}}
    return _object("resource.k8s.io/v1", "ResourceClaimTemplate", pool) | {"spec": spec}


def _object(api_version: str, kind: str, pool: Pool) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": owned_name(pool.key.name),
            "namespace": pool.key.namespace,
            "labels": labels(pool.key.name),
            "ownerReferences": [pool.owner_reference],
        },
    }
