"""TTSWorkerPool: worker pods with the same template, and how they hold models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from voiceplane_operator.specs.base import (
    Condition,
    Described,
    LocalReference,
    OpenObject,
    Quantity,
    Rule,
    ShortText,
    ruled,
)
from voiceplane_operator.specs.voicemodel import ModelId, Seconds

MAX_REPLICAS = 1000
RESOURCE_NAME = ruled(
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    "must be an extended resource, such as nvidia.com/gpu, nvidia.com/mig-1g.10gb or nvidia.com/gpu.shared",
)
_MAP_OF_STRINGS = Annotated[dict[str, Annotated[str, Field(max_length=253)]], Field(max_length=64)]


class Autoscaling(Described):
    """How many workers the pool has, by their load."""

    rules = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas is more than maxReplicas: lower minReplicas or raise maxReplicas",
        ),
        Rule(
            "has(self.targetSessionsPerWorker) || has(self.targetQueueDepth)",
            "no target is set: set targetSessionsPerWorker, targetQueueDepth or both",
        ),
    )

    min_replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    """The minimum number of workers. 0 allows scale to zero; a session that finds no worker scales the pool up, through
    the annotation voiceplane.dev/demand-at that the orchestrator sets on the pool."""
    max_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
    """The maximum number of workers."""
    target_sessions_per_worker: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The target number of sessions of a worker."""
    target_queue_depth: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The target number of utterances in progress on a worker."""
    scale_down_delay_seconds: Seconds = 300
    """Seconds for which there must have been too many workers before the pool is scaled down."""


class ResourceClaim(Described):
    """A GPU by dynamic resource allocation."""

    device_class_name: Annotated[str, Field(min_length=1, max_length=253)]
    """The DeviceClass, such as gpu.nvidia.com."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Devices per worker."""
    selectors: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=16)] = ()
    """CEL expressions over `device`; all must hold."""


class Gpu(Described):
    """The accelerator that each worker gets exclusively."""

    rules = (
        Rule(
            "!has(self.claim) || !has(self.resourceName)",
            "claim and resourceName are both set: use claim with dynamic resource allocation, else resourceName",
        ),
        Rule(
            "!has(self.claim) || !has(self.count)",
            "count belongs to resourceName: with a claim, set claim.count",
        ),
    )

    resource_name: Annotated[str, Field(max_length=253, json_schema_extra=RESOURCE_NAME)] = ""
    """The extended resource of a whole, MIG or time-sliced GPU. If it and claim are absent, nvidia.com/gpu."""
    count: Annotated[int, Field(ge=1, le=16)] | None = None
    """GPUs per worker. If it is absent, 1."""
    product: ShortText = ""
    """Restricts workers to nodes whose label nvidia.com/gpu.product has this value, such as NVIDIA-L4."""
    claim: ResourceClaim | None = None
    """Dynamic resource allocation instead of an extended resource."""


class Rollout(Described):
    """How pods are replaced when the pool's template changes."""

    strategy: Literal["surge", "recreate"] = "surge"
    """surge: a new pod is ready before an old one is deleted, which needs a spare GPU. recreate: an old pod is deleted
    first."""
    max_unavailable: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    """Pods that a drain of nodes may evict at the same time."""


class Cache(Described):
    """Where workers cache fetched voice packs."""

    rules = (
        Rule(
            "!(has(self.claimName) && has(self.hostPath))",
            "claimName and hostPath are both set: use one of them",
        ),
        Rule(
            "!has(self.sizeLimit) || !(has(self.claimName) || has(self.hostPath))",
            "sizeLimit applies to an emptyDir only: remove it, or claimName and hostPath",
        ),
    )

    claim_name: Annotated[str, Field(max_length=253)] = ""
    """A PersistentVolumeClaim of this namespace. With several workers it must be ReadWriteMany."""
    host_path: Annotated[
        str,
        Field(
            max_length=4096,
            json_schema_extra=ruled(
                "self == '' || (self.startsWith('/') && !self.contains('..'))",
                "must be an absolute path without '..', such as /var/lib/voiceplane",
            ),
        ),
    ] = ""
    """A folder of the node, which its workers share."""
    size_limit: Quantity | None = None
    """The size limit of the emptyDir that is used without claimName and hostPath."""
    max_size: Quantity | None = None
    """The size of the cache above which, after a fetch, a worker removes the packs that were not used for the longest
    time; what is in use stays. If it is absent, nothing is removed. Choose less than sizeLimit."""


class Resources(Described):
    """The resources of a worker's container, without its GPU."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Requests, such as cpu and memory."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Limits, such as cpu and memory."""


class WorkerTls(Described):
    """Mutual TLS with the workers."""

    secret_name: Annotated[str, Field(min_length=1, max_length=253)]
    """A Secret of this namespace with ca.crt, tls.crt and tls.key, as cert-manager writes it. Pods use a renewed
    certificate without a restart."""
    allowed_clients: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)
    ] = ("voiceplane-client",)
    """A client's certificate must have one of these names."""


class TTSWorkerPoolSpec(Described):
    """Worker pods with the same template."""

    rules = (
        Rule(
            "!(has(self.replicas) && has(self.autoscaling))",
            "replicas and autoscaling are both set: remove one of them",
        ),
        Rule(
            "self.residentCap >= (has(self.preload) ? "
            "size(self.preload.filter(m, !has(self.defaultModel) || m != self.defaultModel)) : 0) + "
            "(has(self.defaultModel) && self.defaultModel != '' ? 1 : 0)",
            "residentCap is less than the default and preloaded models: raise residentCap or shorten preload",
        ),
        Rule(
            "self.minResidencySeconds <= self.ttlSeconds || self.ttlSeconds == 0",
            "minResidencySeconds is more than ttlSeconds: lower it, or raise ttlSeconds",
        ),
        Rule("self.device != 'cpu' || !has(self.gpu)", "gpu is set on device cpu: set device to cuda, or remove gpu"),
        Rule(
            "self.maxParallelLoads <= self.residentCap",
            "maxParallelLoads is more than residentCap: lower it, or raise residentCap",
        ),
    )

    image: Annotated[str, Field(min_length=1, max_length=1024)]
    """The worker's image. It determines the families that the workers have."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes pull the image."""
    image_pull_secrets: Annotated[tuple[LocalReference, ...], Field(max_length=16)] = ()
    """Secrets of this namespace with the credentials of the image's registry."""
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] | None = None
    """The number of workers. If it and autoscaling are absent, 1. `kubectl scale` works only if it is set."""
    autoscaling: Autoscaling | None = None
    """Scales the number of workers by load, instead of replicas."""
    device: Literal["cpu", "cuda"] = "cpu"
    """The kind of device that the models run on."""
    gpu: Gpu | None = None
    """The GPU of each worker. If it is absent and device is cuda, one nvidia.com/gpu."""
    default_model: Annotated[str, Field(max_length=128)] = ""
    """The modelId of sessions that name none. A worker is ready only when it is resident, and never evicts it."""
    preload: Annotated[
        tuple[ModelId, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """modelIds that must be resident before a worker is ready."""
    ttl_seconds: Seconds = 600
    """Seconds without use after which a model is evicted."""
    min_residency_seconds: Seconds = 120
    """Seconds after a load before which a model is not evicted."""
    resident_cap: Annotated[int, Field(ge=1, le=1024)] = 3
    """Models that may be resident on a worker at the same time."""
    memory_budget: Quantity | None = None
    """Device memory for all models of a worker together. If it is absent, only residentCap limits them."""
    max_parallel_loads: Annotated[int, Field(ge=1, le=64)] = 1
    """Models that a worker loads at the same time."""
    load_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Seconds that a load and its warm-up may take, without its fetch. If it is absent, 120."""
    sessions_per_worker: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Sessions that a worker accepts at the same time."""
    drain_timeout_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    """Seconds that a terminating worker gives its sessions to end."""
    rollout: Rollout = Rollout()
    """How pods are replaced when the pool's template changes."""
    cache: Cache = Cache()
    """Where workers cache fetched voice packs."""
    prefetch: bool = False
    """Whether the packs of all VoiceModels of the pool are fetched to the cache as soon as they are declared, without
    loading them, so that the first session of an onDemand model waits for its load only."""
    credentials: Annotated[
        tuple[LocalReference, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Secrets of this namespace that VoiceModels may name in source.secretRef. They are mounted as files, so that
    workers use a rotated Secret without a restart. A Secret that does not exist does not keep workers from starting."""
    tls: WorkerTls | None = None
    """Mutual TLS. The operator and orchestrator need certificates of the same CA: see docs/explanation/security.md."""
    shared_memory: Quantity | None = None
    """The size of /dev/shm, for families that use several processes."""
    resources: Resources = Resources()
    """CPU and memory of each worker."""
    node_selector: _MAP_OF_STRINGS = {}
    """Labels that nodes must have to run workers."""
    tolerations: Annotated[tuple[OpenObject, ...], Field(max_length=64)] = ()
    """Taints of nodes that workers tolerate; the taint of their GPU resource is added. The API server checks them when
    the operator applies the Deployment, and condition Ready reports an error."""
    affinity: OpenObject | None = None
    """Scheduling rules, as in a pod. Checked like tolerations."""
    runtime_class_name: Annotated[str, Field(max_length=253)] = ""
    """The RuntimeClass of the pods, such as nvidia."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """The PriorityClass of the pods."""
    pod_template: OpenObject | None = None
    """metadata and spec of a pod, merged over the operator's template as a strategic merge patch: lists of named items
    merge by name. Checked like tolerations."""

    @property
    def starting_replicas(self) -> int:
        """The initial number of workers."""
        if self.autoscaling:
            return self.autoscaling.min_replicas
        return 1 if self.replicas is None else self.replicas


class ResidentModel(Described):
    """A resident model, and on how many of the pool's workers."""

    model_id: Annotated[str, Field(max_length=253)]
    """The id that sessions ask for."""
    workers: int
    """Workers on which the model is resident."""


class TTSWorkerPoolStatus(Described):
    """The state of the pool, as the cluster and the workers report it."""

    observed_generation: int = 0
    """The generation of the spec that the status is about."""
    replicas: int = 0
    """The number of pods."""
    ready_replicas: int = 0
    """Pods that accept sessions."""
    updated_replicas: int = 0
    """Pods with the current template."""
    selector: Annotated[str, Field(max_length=1024)] = ""
    """The label selector of the pods, for the scale subresource."""
    template_hash: Annotated[str, Field(max_length=64)] = ""
    """A hash of the pod template; it changes when pods have to be replaced."""
    sessions: int = 0
    """Sessions on all workers."""
    queue_depth: int = 0
    """Utterances in progress on all workers."""
    phase: Annotated[str, Field(max_length=64)] = ""
    """The reason of condition Ready."""
    families: Annotated[
        tuple[ShortText, ...], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The families that the connected workers can load."""
    resident_models: Annotated[
        tuple[ResidentModel, ...],
        Field(
            max_length=1024,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["modelId"]},
        ),
    ] = ()
    """The resident models."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Progressing and Degraded."""
