"""VoiceModel: a voice that worker pools serve."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from voiceplane_operator.specs.base import (
    Condition,
    Described,
    LabelSelector,
    LocalReference,
    Quantity,
    Rule,
    ShortText,
    Timestamp,
    ruled,
)

ResidencyPolicy = Literal["onDemand", "preload", "pinned"]

FAMILY = ruled(
    "self.matches('^[a-z][a-z0-9_]*$')",
    "must be a lower-case letter, then lower-case letters, digits and '_', such as piper",
)
# Which families there are depends on the workers' images, so the operator checks that.
Family = Annotated[str, Field(min_length=1, max_length=63, json_schema_extra=FAMILY)]
LANGUAGE = ruled(
    "self.matches('^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$')", "must be a BCP 47 language tag, such as en or en-US"
)
Language = Annotated[str, Field(max_length=35, json_schema_extra=LANGUAGE)]
MODEL_ID = ruled(
    "self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",
    "must be letters, digits, '.', '_' and '-', beginning and ending with a letter or digit, such as en_US-joe-medium",
)
ModelId = Annotated[str, Field(min_length=1, max_length=128, json_schema_extra=MODEL_ID)]
# At most ten years: a larger value is a wrong unit.
Seconds = Annotated[int, Field(ge=0, le=315_360_000)]


Pattern = Annotated[str, Field(min_length=1, max_length=253)]


class Source(Described):
    """The source of a voice pack."""

    rules = (
        Rule(
            "!has(self.secretRef) || !(self.uri.startsWith('file:') || self.uri.startsWith('package:'))",
            "secretRef does not apply to file: and package: sources: remove it",
        ),
    )

    uri: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            json_schema_extra=ruled(
                "self.matches('^(file:///|https://|s3://|gs://|az://|hf://|oci://|package:).+')",
                "must begin with file:///, https://, s3://, gs://, az://, hf://, oci:// or package: and name something",
            ),
        ),
    ]
    """file:///PATH (in the worker's file system), https://…, s3://…, gs://…, az://…, hf://…, oci://… or
    package:PACKAGE/FILE. It names a folder, or an archive of one (.tar, .tar.gz, .tgz, .tar.xz, .zip)."""
    sha256: Annotated[
        str,
        Field(
            max_length=71,
            json_schema_extra=ruled(
                "self.matches('^([0-9a-f]{64})?$')",
                "must be the 64 lower-case hex digits of the pack's SHA-256, without a prefix such as sha256:",
            ),
        ),
    ] = ""
    """The SHA-256 digest that the pack must have. If it is empty, the digest is not checked."""
    include: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    """Patterns of the files to fetch: * matches any characters, and a pattern that ends in a slash stands for
    everything below that folder. If it is empty, what the family opens, or everything if sha256 is set."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    """Patterns of files to leave out."""
    secret_ref: LocalReference | None = None
    """The Secret with the credentials of the source; it must be one of the pool's credentials. Keys for s3:
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_REGION; for hf: HF_TOKEN,
    HF_ENDPOINT; for https: token, or username and password."""


class Voice(Described):
    """One voice of a model."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """The name that sessions ask for."""
    language: Language = ""
    """The voice's BCP 47 language. If it is empty, the pack's."""


class Lora(Described):
    """A LoRA adapter that is attached to a resident base model."""

    rules = (
        Rule(
            "size(self.baseModelRef.name) > 0",
            "baseModelRef.name is empty: name the VoiceModel of the base model",
        ),
    )

    base_model_ref: LocalReference
    """The VoiceModel of the base model, in this namespace."""
    source: Source
    """The adapter's files."""


class Residency(Described):
    """When the model is loaded and evicted."""

    rules = (
        Rule(
            "!has(self.ttlSeconds) || !has(self.minResidencySeconds) || self.ttlSeconds == 0 || "
            "self.minResidencySeconds <= self.ttlSeconds",
            "minResidencySeconds is more than ttlSeconds: lower it, or raise ttlSeconds",
        ),
        Rule(
            "self.policy != 'pinned' || !has(self.ttlSeconds)",
            "ttlSeconds does not apply to a pinned model: remove it, or use policy preload",
        ),
    )

    policy: ResidencyPolicy = "preload"
    """onDemand: the first session that asks for the model loads it. preload: it is loaded at once, and evicted when its
    TTL has passed or its memory is needed. pinned: it is loaded at once and never evicted."""
    ttl_seconds: Seconds | None = None
    """Seconds without use after which the model is evicted. If it is absent or 0, the pool's value."""
    min_residency_seconds: Seconds | None = None
    """Seconds after a load before which the model is not evicted. If it is absent or 0, the pool's value."""


class VoiceModelSpec(Described):
    """A voice, and how workers hold it."""

    rules = (
        Rule("self.family == oldSelf.family", "family is immutable: delete the VoiceModel and create another one"),
        Rule(
            "(has(self.modelId) ? self.modelId : '') == (has(oldSelf.modelId) ? oldSelf.modelId : '')",
            "modelId is immutable: delete the VoiceModel and create another one",
        ),
        Rule(
            "!has(self.lora) || !has(self.source)",
            "source and lora.source are both set: a LoRA's files belong in lora.source, "
            "and its base has its own VoiceModel",
        ),
    )

    family: Family
    """The TTS family of the model, such as piper. If no worker of its pools has the family, condition Ready lists the
    available ones."""
    model_id: ModelId = ""
    """The id that sessions ask for. If it is empty, the object's name."""
    source: Source | None = None
    """The voice pack. If it is absent, the pack of this modelId in the worker's image."""
    languages: Annotated[
        tuple[Language, ...], Field(max_length=128, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The BCP 47 languages that the model speaks; a voice may speak more than its own. If it is empty, its voices'."""
    voices: Annotated[
        tuple[Voice, ...],
        Field(
            max_length=256,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """The voices of the pack that sessions may use; the first is the default. If it is empty, all of them."""
    lora: Lora | None = None
    """Makes this a LoRA adapter of another VoiceModel. The family must support LoRA."""
    memory: Quantity | None = None
    """Device memory that the model needs, such as 1500Mi. Pools with a smaller memoryBudget do not get it."""
    residency: Residency = Residency()
    """When the model is loaded and evicted."""
    pool_selector: LabelSelector = LabelSelector()
    """Selects the TTSWorkerPools of this namespace that get the model. If it is empty, all that have its family."""
    load_timeout_seconds: Seconds | None = None
    """Seconds that a load and its warm-up may take, without its fetch. If it is absent or 0, the pool's value."""
    warm_up_text: Annotated[str, Field(max_length=512)] = ""
    """The text that the model speaks once, unheard, before it is resident. If it is empty, the pack's."""
    options: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32)] = {}
    """Options of the family, as strings. A worker refuses an unknown option."""


class WorkerModelStatus(Described):
    """The state of the model on one worker."""

    worker: ShortText
    """The pod."""
    pool: ShortText = ""
    """The worker's TTSWorkerPool."""
    state: Annotated[str, Field(max_length=32)]
    """absent, fetching, loading, warming, resident, draining or failed."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why the model is failed or draining."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """What happened and what to do."""
    sha256: Annotated[str, Field(max_length=64)] = ""
    """The digest of the resident pack."""
    references: int = 0
    """Sessions that use the model."""
    fetched_bytes: int = 0
    """While its pack is fetched: bytes so far."""
    fetch_bytes: int = 0
    """While its pack is fetched: bytes in all, if that is known."""
    fetch_bytes_per_second: int = 0
    """While its pack is fetched: the rate of the last seconds."""


class VoiceModelStatus(Described):
    """The state of the model, as the workers report it."""

    observed_generation: int = 0
    """The generation of the spec that the status is about."""
    model_id: Annotated[str, Field(max_length=253)] = ""
    """The id that sessions ask for."""
    phase: Annotated[str, Field(max_length=32)] = ""
    """The reason of condition Ready."""
    desired: int = 0
    """Connected workers that should have the model."""
    resident: int = 0
    """Connected workers on which the declared content is resident."""
    residency: Annotated[str, Field(max_length=32)] = ""
    """resident/desired, as a column of `kubectl get`."""
    sessions: int = 0
    """Sessions that use the model."""
    workers: Annotated[
        tuple[WorkerModelStatus, ...],
        Field(
            max_length=1024,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["worker"]},
        ),
    ] = ()
    """The model on each worker."""
    last_used: Timestamp | None = None
    """When a session last used the model."""
    expires_at: Timestamp | None = None
    """When the first worker will evict the model if it stays unused."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Fetched, Degraded and Accepted."""
