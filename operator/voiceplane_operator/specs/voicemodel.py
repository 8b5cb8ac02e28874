"""VoiceModel: a voice that worker pools are to speak with."""

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

Family = Literal["piper", "kokoro", "cosyvoice2", "xtts", "csm", "spark", "parler", "melo", "mock"]
ResidencyPolicy = Literal["onDemand", "preload", "pinned"]

LANGUAGE = ruled(
    "self.matches('^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$')", "must be a BCP 47 language tag, such as en or en-US"
)
Language = Annotated[str, Field(max_length=35, json_schema_extra=LANGUAGE)]
MODEL_ID = ruled(
    "self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",
    "must be letters, digits, '.', '_' and '-', beginning and ending with a letter or digit, such as en_US-joe-medium",
)
ModelId = Annotated[str, Field(min_length=1, max_length=128, json_schema_extra=MODEL_ID)]
# Ten years: a limit that only a mistaken unit reaches.
Seconds = Annotated[int, Field(ge=0, le=315_360_000)]


class Source(Described):
    """Where a voice pack's files are."""

    rules = (
        Rule(
            "!has(self.secretRef) || !(self.uri.startsWith('file:') || self.uri.startsWith('package:'))",
            "secretRef has no meaning for file: and package: sources: remove it",
        ),
    )

    uri: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            json_schema_extra=ruled(
                "self.matches('^(file:///|https://|s3://|hf://|oci://|package:).+')",
                "must begin with file:///, https://, s3://, hf://, oci:// or package: and name something",
            ),
        ),
    ]
    """file:///PATH (in the worker's file system), https://…, s3://…, hf://…, oci://… or package:PACKAGE/FILE: a folder,
    or an archive of one (.tar, .tar.gz, .tgz, .tar.xz, .zip)."""
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
    """The digest that the pack must have. Without one it is not checked."""
    secret_ref: LocalReference | None = None
    """The Secret that opens it, one of those in the pool's credentials. Keys for s3: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_REGION; for hf: HF_TOKEN, HF_ENDPOINT; for https:
    token, or username and password."""


class Voice(Described):
    """One voice of a model."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """What a session asks for."""
    language: Language = ""
    """Its BCP 47 language. Without one, as the pack says."""


class Lora(Described):
    """An adapter that is attached to a resident base model."""

    rules = (
        Rule(
            "size(self.baseModelRef.name) > 0",
            "baseModelRef.name is empty: a LoRA needs the VoiceModel that it is attached to",
        ),
    )

    base_model_ref: LocalReference
    """The VoiceModel of this namespace that the adapter is attached to."""
    source: Source
    """The adapter's files."""


class Residency(Described):
    """When the model comes and goes."""

    rules = (
        Rule(
            "!has(self.ttlSeconds) || !has(self.minResidencySeconds) || self.ttlSeconds == 0 || "
            "self.minResidencySeconds <= self.ttlSeconds",
            "minResidencySeconds is more than ttlSeconds: lower it, or raise ttlSeconds",
        ),
        Rule(
            "self.policy != 'pinned' || !has(self.ttlSeconds)",
            "ttlSeconds has no meaning for a pinned model: remove it, or use policy preload",
        ),
    )

    policy: ResidencyPolicy = "preload"
    """onDemand: loaded by the first session that asks for it. preload: loaded at once, and evicted when its TTL passes
    or room is needed. pinned: loaded at once and never evicted."""
    ttl_seconds: Seconds | None = None
    """Unused for this long, the model is unloaded. Without it, or 0, the pool's."""
    min_residency_seconds: Seconds | None = None
    """Not evicted sooner than this after its load. Without it, or 0, the pool's."""


class VoiceModelSpec(Described):
    """A voice, and how workers are to hold it."""

    rules = (
        Rule("self.family == oldSelf.family", "family is immutable: delete the VoiceModel and create another one"),
        Rule(
            "(has(self.modelId) ? self.modelId : '') == (has(oldSelf.modelId) ? oldSelf.modelId : '')",
            "modelId is immutable: delete the VoiceModel and create another one",
        ),
        Rule(
            "!has(self.lora) || !has(self.source)",
            "source and lora.source are both set: a LoRA's files go into lora.source, "
            "its base has a VoiceModel of its own",
        ),
        Rule(
            "!has(self.lora) || self.family in ['csm', 'mock']",
            "lora is not supported by this family: use csm, or remove lora",
        ),
    )

    family: Family
    """The TTS family whose adapter loads it."""
    model_id: ModelId = ""
    """What sessions ask for. Without it, the object's name."""
    source: Source | None = None
    """The voice pack. Without it, the pack of this modelId that comes with the worker's image."""
    languages: Annotated[
        tuple[Language, ...], Field(max_length=128, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The BCP 47 languages that it speaks; a voice may speak more than its own. Without any, as its voices say."""
    voices: Annotated[
        tuple[Voice, ...],
        Field(
            max_length=256,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """The voices of the pack that sessions can have, the first by default. Without any, all of them."""
    lora: Lora | None = None
    """Makes this an adapter of another VoiceModel."""
    memory: Quantity | None = None
    """Device memory that it takes, such as 1500Mi; pools whose budget it does not fit into leave it out."""
    residency: Residency = Residency()
    """When it comes and goes."""
    pool_selector: LabelSelector = LabelSelector()
    """The TTSWorkerPools of this namespace that are to have it; empty: all that can load its family."""
    warm_up_text: Annotated[str, Field(max_length=512)] = ""
    """What it speaks before it counts as resident. Without it, the pack's own."""
    options: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32)] = {}
    """Options of the family, as strings; a worker refuses one that it does not know."""


class WorkerModelStatus(Described):
    """The model on one worker."""

    worker: ShortText
    """The pod."""
    pool: ShortText = ""
    """Its TTSWorkerPool."""
    state: Annotated[str, Field(max_length=32)]
    """absent, fetching, loading, warming, resident, draining or failed."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why it is failed or draining."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """The same for people."""
    sha256: Annotated[str, Field(max_length=64)] = ""
    """The digest of the pack that is resident."""
    references: int = 0
    """Sessions that hold it."""


class VoiceModelStatus(Described):
    """What the workers report; made anew by the operator at each change."""

    observed_generation: int = 0
    """The generation of the spec that this was said of."""
    model_id: Annotated[str, Field(max_length=253)] = ""
    """What sessions ask for."""
    phase: Annotated[str, Field(max_length=32)] = ""
    """Ready's reason in one word, for a list."""
    desired: int = 0
    """Ready workers that are to have it."""
    resident: int = 0
    """Of these, those that have."""
    residency: Annotated[str, Field(max_length=32)] = ""
    """Resident of desired, for a list."""
    sessions: int = 0
    """Sessions that hold it."""
    workers: Annotated[
        tuple[WorkerModelStatus, ...],
        Field(
            max_length=1024,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["worker"]},
        ),
    ] = ()
    """It on each worker."""
    last_used: Timestamp | None = None
    """When a session last held it."""
    expires_at: Timestamp | None = None
    """When the first worker would evict it, if it stays unused."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Fetched, Degraded and Accepted."""
