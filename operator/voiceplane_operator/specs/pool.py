"""TTSWorkerPool: worker pods of one kind, and the rules by which they hold models."""

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
    """How many workers there are, by what they have to do."""

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
    """Workers at the least. 0 lets the pool go to zero; a session that finds no worker brings it back, by
    the annotation voiceplane.dev/demand-at that the orchestrator writes on the pool."""
    max_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
    """Workers at the most."""
    target_sessions_per_worker: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Sessions that one worker should have."""
    target_queue_depth: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Utterances that one worker should have under way."""
    scale_down_delay_seconds: Seconds = 300
    """How long there must have been too many workers before one goes."""


class ResourceClaim(Described):
    """A GPU through dynamic resource allocation."""

    device_class_name: Annotated[str, Field(min_length=1, max_length=253)]
    """The DeviceClass, such as gpu.nvidia.com."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Devices of each worker."""
    selectors: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=16)] = ()
    """CEL over `device`; all must hold."""


class Gpu(Described):
    """The accelerator that each worker gets for itself."""

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
    """The extended resource of a whole, MIG or time-sliced GPU. Without it and without a claim, nvidia.com/gpu."""
    count: Annotated[int, Field(ge=1, le=16)] | None = None
    """How many each worker gets. Without it, 1."""
    product: ShortText = ""
    """Only nodes whose label nvidia.com/gpu.product has this value, such as NVIDIA-L4."""
    claim: ResourceClaim | None = None
    """Dynamic resource allocation, in place of an extended resource."""


class Rollout(Described):
    """How pods are replaced when the pool's template changes."""

    strategy: Literal["surge", "recreate"] = "surge"
    """surge: a new pod is ready before an old one goes, which takes one spare GPU. recreate: an old one goes first."""
    max_unavailable: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    """Pods that a disruption of the node (a drain) may take at once."""


class Cache(Described):
    """Where fetched voice packs are kept."""

    rules = (
        Rule(
            "!(has(self.claimName) && has(self.hostPath))",
            "claimName and hostPath are both set: use one of them",
        ),
        Rule(
            "!has(self.sizeLimit) || !(has(self.claimName) || has(self.hostPath))",
            "sizeLimit is that of an emptyDir: remove it, or claimName and hostPath",
        ),
    )

    claim_name: Annotated[str, Field(max_length=253)] = ""
    """A PersistentVolumeClaim of this namespace; with several workers it must be ReadWriteMany."""
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
    """A folder of the node, shared by its workers."""
    size_limit: Quantity | None = None
    """Of the emptyDir that is used without the two above."""


class Resources(Described):
    """What a worker's container asks for, besides its GPU."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """At the least, such as cpu and memory."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """At the most."""


class WorkerTls(Described):
    """Mutual TLS with the workers."""

    secret_name: Annotated[str, Field(min_length=1, max_length=253)]
    """A Secret of this namespace with ca.crt, tls.crt and tls.key, as cert-manager writes it. Pods take a renewed one
    without a restart."""
    allowed_clients: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)
    ] = ("voiceplane-client",)
    """Names of which a caller's certificate must have one."""


class TTSWorkerPoolSpec(Described):
    """Workers of one kind."""

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
    """The worker's image; it holds one environment, and so the families that it can load."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the node pulls the image."""
    image_pull_secrets: Annotated[tuple[LocalReference, ...], Field(max_length=16)] = ()
    """Secrets of this namespace that open the image's registry."""
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] | None = None
    """Workers. Without it and without autoscaling, 1; `kubectl scale` needs it to be set."""
    autoscaling: Autoscaling | None = None
    """The number of workers by load, in place of replicas."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What the models run on."""
    gpu: Gpu | None = None
    """The GPU of each worker. With device cuda and without it, one nvidia.com/gpu."""
    default_model: Annotated[str, Field(max_length=128)] = ""
    """The modelId of a session that names none; a worker is not ready before it is resident, and never evicts it."""
    preload: Annotated[
        tuple[ModelId, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """modelIds that are resident before a worker is ready."""
    ttl_seconds: Seconds = 600
    """A model unused for this long is unloaded."""
    min_residency_seconds: Seconds = 120
    """No model is evicted sooner than this after its load."""
    resident_cap: Annotated[int, Field(ge=1, le=1024)] = 3
    """Models that a worker holds at once."""
    memory_budget: Quantity | None = None
    """Device memory of all models of a worker together. Without it, no limit but residentCap."""
    max_parallel_loads: Annotated[int, Field(ge=1, le=64)] = 1
    """Models that a worker loads at once."""
    sessions_per_worker: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Sessions that a worker takes at once."""
    drain_timeout_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    """How long a worker that is going finishes its sessions."""
    rollout: Rollout = Rollout()
    """How pods are replaced."""
    cache: Cache = Cache()
    """Where fetched voice packs are kept."""
    credentials: Annotated[
        tuple[LocalReference, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Secrets of this namespace that VoiceModels may name in source.secretRef. They are mounted as files, so that a
    rotated one is used without a restart; one that does not exist yet keeps no worker from starting."""
    tls: WorkerTls | None = None
    """Mutual TLS. The operator and orchestrator need certificates of the same CA: see docs/explanation/security.md."""
    shared_memory: Quantity | None = None
    """The size of /dev/shm, for families that compute in several processes."""
    resources: Resources = Resources()
    """CPU and memory of a worker."""
    node_selector: _MAP_OF_STRINGS = {}
    """Labels of the nodes that workers may run on."""
    tolerations: Annotated[tuple[OpenObject, ...], Field(max_length=64)] = ()
    """Taints of nodes that workers put up with. That of their GPU resource is added. Checked by the API server when the
    Deployment is applied: condition Ready then says what is wrong."""
    affinity: OpenObject | None = None
    """Rules of where workers run, as in a pod. Checked like tolerations."""
    runtime_class_name: Annotated[str, Field(max_length=253)] = ""
    """The RuntimeClass, such as nvidia."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """The PriorityClass."""
    pod_template: OpenObject | None = None
    """metadata and spec of a pod, merged over what the operator makes: lists of named things by name, as
    kubectl does. Checked like tolerations."""

    @property
    def starting_replicas(self) -> int:
        """Workers that the pool begins with."""
        if self.autoscaling:
            return self.autoscaling.min_replicas
        return 1 if self.replicas is None else self.replicas


class ResidentModel(Described):
    """A model, and how many of the pool's workers hold it."""

    model_id: Annotated[str, Field(max_length=253)]
    """What sessions ask for."""
    workers: int
    """Workers that hold it."""


class TTSWorkerPoolStatus(Described):
    """What the cluster and the workers report; made anew by the operator at each change."""

    observed_generation: int = 0
    """The generation of the spec that this was said of."""
    replicas: int = 0
    """Pods."""
    ready_replicas: int = 0
    """Pods that take sessions."""
    updated_replicas: int = 0
    """Pods of the present template."""
    selector: Annotated[str, Field(max_length=1024)] = ""
    """Selects the pods; the scale subresource shows it to autoscalers."""
    template_hash: Annotated[str, Field(max_length=64)] = ""
    """Changes when pods have to be replaced."""
    sessions: int = 0
    """Sessions of all workers."""
    queue_depth: int = 0
    """Utterances under way on all workers."""
    phase: Annotated[str, Field(max_length=64)] = ""
    """Ready's reason in one word, for a list."""
    resident_models: Annotated[
        tuple[ResidentModel, ...],
        Field(
            max_length=1024,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["modelId"]},
        ),
    ] = ()
    """What the workers hold."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Progressing and Degraded."""
