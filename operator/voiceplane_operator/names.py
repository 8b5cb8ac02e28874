"""Names, labels and paths of the objects that the operator owns."""

from __future__ import annotations

from voiceplane_common.kube.names import GROUP

FIELD_MANAGER = "voiceplane-operator"
POOL_LABEL = f"{GROUP}/pool"
TEMPLATE_HASH = f"{GROUP}/template-hash"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
WORKER_NAME = "voiceplane-worker"
CONTAINER = "worker"
GRPC_PORT = 50051
METRICS_PORT = 9090
HEALTH_PORT = 50052
MODELS_FOLDER = "/etc/voiceplane/models"
MODELS_KEY = "models.yaml"
CACHE_FOLDER = "/var/cache/voiceplane"
CREDENTIALS_FOLDER = "/etc/voiceplane/credentials"
TLS_FOLDER = "/etc/voiceplane/tls"

# Selects the worker pods of all pools.
WORKER_SELECTOR = f"app.kubernetes.io/name={WORKER_NAME},app.kubernetes.io/managed-by={FIELD_MANAGER}"


def owned_name(pool: str) -> str:
    """The name of each object that a pool owns."""
    return f"{pool}-tts"


def selector(pool: str) -> dict[str, str]:
    """The labels that select a pool's pods. A Deployment's selector is immutable."""
    return {"app.kubernetes.io/name": WORKER_NAME, POOL_LABEL: pool}


def labels(pool: str) -> dict[str, str]:
    """The labels of each object that a pool owns."""
    return selector(pool) | {
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        "app.kubernetes.io/part-of": "voiceplane",
        "app.kubernetes.io/component": "worker",
    }


def selector_text(pool: str) -> str:
    """The labels of `selector` as a query."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector(pool).items()))
