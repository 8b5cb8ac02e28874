"""The pod template of a worker: its container, its GPU, its volumes, and the overrides of spec.podTemplate."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from voiceplane_operator.builders.strategic_merge import merged
from voiceplane_operator.names import (
    CACHE_FOLDER,
    CONTAINER,
    CREDENTIALS_FOLDER,
    GRPC_PORT,
    HEALTH_PORT,
    METRICS_PORT,
    MODELS_FOLDER,
    MODELS_KEY,
    TLS_FOLDER,
    labels,
    owned_name,
    selector,
)
from voiceplane_operator.quantities import integer_value

if TYPE_CHECKING:
    from voiceplane_operator.resources import Pool
    from voiceplane_operator.specs.pool import TTSWorkerPoolSpec

NVIDIA_GPU = "nvidia.com/gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"
CLAIM = "gpu"
# On top of the drain timeout, for the worker's shutdown before and after it.
GRACE_S = 15
USER_ID = 65_532


def pod_template(pool: Pool) -> dict[str, Any]:
    """The pod template of a pool's Deployment. It depends on the pool's spec alone, never on a VoiceModel."""
    spec = pool.spec
    template: dict[str, Any] = {
        "metadata": {
            "labels": labels(pool.key.name),
            "annotations": {"kubectl.kubernetes.io/default-container": CONTAINER},
        },
        "spec": {
            "serviceAccountName": owned_name(pool.key.name),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": spec.drain_timeout_seconds + GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(spec)],
            "volumes": _volumes(pool),
        }
        | _placement(pool),
    }
    return merged(template, _without_selector(spec.pod_template or {}, pool)) if spec.pod_template else template


def template_hash(template: dict[str, Any]) -> str:
    """A hash that changes only when pods have to be replaced."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:12]


def _container(spec: TTSWorkerPoolSpec) -> dict[str, Any]:
    probe = {"grpc": {"port": HEALTH_PORT if spec.tls else GRPC_PORT}}  # gRPC probes do not support TLS
    return {
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy,
        "command": ["voiceplane-worker"],
        "env": [{"name": name, "value": value} for name, value in _environment(spec).items()],
        "ports": [
            {"name": "grpc", "containerPort": GRPC_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        # A worker that loads its models is alive and not ready, so liveness is that its port answers.
        "startupProbe": {"tcpSocket": {"port": GRPC_PORT}, "periodSeconds": 1, "failureThreshold": 120},
        "livenessProbe": {"tcpSocket": {"port": GRPC_PORT}, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": probe | {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 2},
        "resources": _resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS_FOLDER, "readOnly": True},
            {"name": "cache", "mountPath": CACHE_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of the container
        ]
        + [
            {"name": f"credentials-{number}", "mountPath": f"{CREDENTIALS_FOLDER}/{each.name}", "readOnly": True}
            for number, each in enumerate(spec.credentials)
        ]
        + ([{"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True}] if spec.tls else [])
        + ([{"name": "shm", "mountPath": "/dev/shm"}] if spec.shared_memory else []),  # noqa: S108
    }


def _environment(spec: TTSWorkerPoolSpec) -> dict[str, str]:
    settings: dict[str, Any] = {
        "WORKER__LISTEN": f"0.0.0.0:{GRPC_PORT}",
        "WORKER__METRICS_PORT": METRICS_PORT,
        "WORKER__DEVICE": spec.device,
        "WORKER__MAX_SESSIONS": spec.sessions_per_worker,
        "WORKER__DRAIN_TIMEOUT_MS": spec.drain_timeout_seconds * 1000,
        "WORKER__MODELS_FILE": f"{MODELS_FOLDER}/{MODELS_KEY}",
        "MODEL_MANAGER__DEFAULT_MODEL_ID": spec.default_model,
        "MODEL_MANAGER__PRELOAD_MODEL_IDS": json.dumps(list(spec.preload)),
        "MODEL_MANAGER__TTL_MS": spec.ttl_seconds * 1000,
        "MODEL_MANAGER__MIN_RESIDENCY_MS": spec.min_residency_seconds * 1000,
        "MODEL_MANAGER__RESIDENT_CAP": spec.resident_cap,
        "MODEL_MANAGER__MAX_PARALLEL_LOADS": spec.max_parallel_loads,
        "MODEL_MANAGER__MEMORY_CAP_BYTES": integer_value(spec.memory_budget) if spec.memory_budget else 0,
        "CACHE_DIR": CACHE_FOLDER,
    }
    if spec.load_timeout_seconds:  # only then: another variable replaces every pod
        settings["MODEL_MANAGER__LOAD_TIMEOUT_MS"] = spec.load_timeout_seconds * 1000
    if spec.prefetch:
        settings["MODEL_MANAGER__PREFETCH"] = "true"
    if spec.cache.max_size:
        settings["WORKER__CACHE_MAX_BYTES"] = integer_value(spec.cache.max_size)
    if spec.credentials:
        settings["WORKER__CREDENTIALS_DIR"] = CREDENTIALS_FOLDER
    if spec.tls:
        settings |= {
            "WORKER__HEALTH_LISTEN": f"0.0.0.0:{HEALTH_PORT}",
            "TLS__CA_FILE": f"{TLS_FOLDER}/ca.crt",
            "TLS__CERT_FILE": f"{TLS_FOLDER}/tls.crt",
            "TLS__KEY_FILE": f"{TLS_FOLDER}/tls.key",
            "TLS__ALLOWED_CLIENTS": json.dumps(list(spec.tls.allowed_clients)),
        }
    return {f"VOICEPLANE_{name}": str(value) for name, value in settings.items()} | {"HOME": "/tmp"}  # noqa: S108


def _resources(spec: TTSWorkerPoolSpec) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    limits: dict[str, Any] = dict(spec.resources.limits)
    if gpu := extended_gpu(spec):
        name, count = gpu
        limits[name] = str(count)
    if limits:
        resources["limits"] = limits
    if spec.resources.requests:
        resources["requests"] = dict(spec.resources.requests)
    if spec.gpu and spec.gpu.claim:
        resources["claims"] = [{"name": CLAIM}]
    return resources


def extended_gpu(spec: TTSWorkerPoolSpec) -> tuple[str, int] | None:
    """The extended resource that each worker requests, and how many of it; None if it requests none."""
    if spec.device == "cpu" or (spec.gpu and spec.gpu.claim):
        return None
    if spec.gpu is None:
        return NVIDIA_GPU, 1
    return spec.gpu.resource_name or NVIDIA_GPU, spec.gpu.count or 1


def _volumes(pool: Pool) -> list[dict[str, Any]]:
    spec = pool.spec
    cache: dict[str, Any]
    if spec.cache.claim_name:
        cache = {"persistentVolumeClaim": {"claimName": spec.cache.claim_name}}
    elif spec.cache.host_path:
        cache = {"hostPath": {"path": spec.cache.host_path, "type": "DirectoryOrCreate"}}
    else:
        cache = {"emptyDir": {"sizeLimit": spec.cache.size_limit} if spec.cache.size_limit else {}}
    volumes = [
        # Optional: a pod must not wait for a list that may be empty; the operator declares all models by gRPC, too.
        {"name": "models", "configMap": {"name": owned_name(pool.key.name), "optional": True}},
        {"name": "cache"} | cache,
        {"name": "tmp", "emptyDir": {}},
    ]
    volumes += [
        {"name": f"credentials-{number}", "secret": {"secretName": each.name, "optional": True, "defaultMode": 0o440}}
        for number, each in enumerate(spec.credentials)
    ]
    if spec.tls:
        volumes.append({"name": "tls", "secret": {"secretName": spec.tls.secret_name, "defaultMode": 0o440}})
    if spec.shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shared_memory}})
    return volumes


def _placement(pool: Pool) -> dict[str, Any]:
    spec = pool.spec
    node_selector = dict(spec.node_selector)
    tolerations = list(spec.tolerations)
    if gpu := extended_gpu(spec):
        tolerations.append({"key": gpu[0], "operator": "Exists", "effect": "NoSchedule"})
    if spec.gpu and spec.gpu.product:
        node_selector[PRODUCT_LABEL] = spec.gpu.product
    placement: dict[str, Any] = {
        "nodeSelector": node_selector,
        "tolerations": tolerations,
        "affinity": spec.affinity,
        "runtimeClassName": spec.runtime_class_name,
        "priorityClassName": spec.priority_class_name,
        "imagePullSecrets": [{"name": each.name} for each in spec.image_pull_secrets],
    }
    if spec.gpu and spec.gpu.claim:
        placement["resourceClaims"] = [{"name": CLAIM, "resourceClaimTemplateName": owned_name(pool.key.name)}]
    return {key: value for key, value in placement.items() if value}


def _without_selector(overrides: dict[str, Any], pool: Pool) -> dict[str, Any]:
    """The overrides with the labels that select the pool's pods, which must not change."""
    metadata = dict(overrides.get("metadata") or {})
    if own := metadata.get("labels"):
        metadata["labels"] = own | selector(pool.key.name)
    return overrides | ({"metadata": metadata} if metadata else {})
