"""The worker's settings; the YAML file, the environment and the flags share these names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from voiceplane_common.addresses import host_and_port
from voiceplane_common.frames import FRAME_MS, SAMPLE_RATE_HZ
from voiceplane_common.settings import Section
from voiceplane_common.tls import ServerTlsSection
from voiceplane_common.worker_registry.records import MAX_LEASE_MS, MIN_LEASE_MS
from voiceplane_common.worker_registry.settings import RedisSection


class WorkerSection(Section):
    """The process and its device.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        sample_rate: Hz; only 48000 is supported.
        frame_ms: Milliseconds; only 20 is supported.
        adapter: The family of models that have none.
        listen: "host:port" or "unix:/path" of the gRPC server.
        metrics_port: Port of Prometheus metrics over HTTP; 0 turns them off.
        max_sessions: Limit of open sessions; further ones are refused with RESOURCE_EXHAUSTED.
        session_idle_timeout_ms: A session without a call or stream ends after this.
        max_chunk_chars: Limit of code points in one TextChunk; a longer one is refused with INVALID_ARGUMENT.
        compute_workers: Inference steps that run at the same time. On a GPU the default is what the families say: 1.
        threads_per_step: Threads that one step uses on a CPU.
        burst_frames: Frames sent at once when an utterance begins, so that a receiver's buffer can absorb jitter.
        buffer_ms: Audio that is computed ahead of what was sent.
        drain_timeout_ms: How long sessions may continue after SIGTERM.
        packs_dir: Folder of voice packs; None for the ones that Voiceplane ships.
        models_file: A YAML file of more models; in a cluster, the operator writes it.
        private_sources: Private networks that https: sources may be in, such as "10.20.0.0/16".
        hosted_families: Families whose models run in child processes, so that an unload frees all of a model's memory.
        credentials_dir: Credentials for private sources: a folder for each set, a file in it for each key.
        cache_max_bytes: After a fetch, the packs that were not used for the longest time are removed from the cache
            until it is this small; what is in use stays. 0 for no limit.
        accept_licences: Non-commercial licences whose voice packs may be used.
        markup: What becomes of markup in texts: "strip", "speak" or "ssml"; a session may choose another.
        emoji: What becomes of emoji: "drop", or "name" to speak their names; a session may choose.
        normalise: Who writes numbers, dates and abbreviations as words: "full" for the worker, "none" for the model; a
            session may choose.
        quiet_ms: A finished sentence is spoken when no text followed it for this long.
        health_listen: "host:port" of the health service in plain text, since probes have no TLS. Empty for none.
    """

    device: str = "cpu"
    sample_rate: Literal[48000] = SAMPLE_RATE_HZ
    frame_ms: Literal[20] = FRAME_MS
    adapter: str = "piper"
    listen: str = "127.0.0.1:50051"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    max_sessions: int = Field(default=16, ge=1)
    session_idle_timeout_ms: int = Field(default=300_000, ge=1000)
    max_chunk_chars: int = Field(default=65_536, ge=1)
    compute_workers: int = Field(default=2, ge=1)
    threads_per_step: int = Field(default=1, ge=1)
    burst_frames: int = Field(default=5, ge=1, le=50)
    buffer_ms: int = Field(default=2_000, ge=200)
    drain_timeout_ms: int = Field(default=30_000, ge=0)
    packs_dir: str | None = None
    models_file: str | None = None
    credentials_dir: str | None = None
    cache_max_bytes: int = Field(default=0, ge=0)
    accept_licences: tuple[str, ...] = ()
    private_sources: tuple[str, ...] = ()
    hosted_families: tuple[str, ...] = ()
    health_listen: str = ""
    markup: Literal["strip", "speak", "ssml"] = "strip"
    emoji: Literal["drop", "name"] = "drop"
    normalise: Literal["full", "none"] = "full"
    quiet_ms: int = Field(default=250, ge=0, le=10_000)


class ModelManagerSection(Section):
    """Model residency: which models are loaded, and when they are evicted.

    Attributes:
        default_model_id: The model of sessions that have no model_id; loaded before the worker is ready.
        preload_model_ids: Further models that are loaded before the worker is ready.
        ttl_ms: A model that is unused for this long is evicted.
        min_residency_ms: A model is not evicted within this time after its load.
        evict_check_interval_ms: How often the TTL is checked.
        resident_cap: Limit of resident models.
        memory_cap_bytes: Limit of the memory of all resident models; 0 for 0.9 of what is free on the GPU at the start,
            as NVML measures it, and no limit on a CPU or where it can't be measured.
        max_parallel_loads: Limit of concurrent loads; a fetch is none.
        max_parallel_fetches: Limit of concurrent fetches.
        load_timeout_ms: A load that takes longer fails, without its fetch; a model may have its own.
        prefetch: Whether the packs of declared models are fetched as soon as they are declared, without a load.
        fetch_stall_timeout_ms: A fetch fails when no byte came for so long. It may take as long as bytes come.
        unload_drain_timeout_ms: How long UnloadModel waits for sessions, unless the call says otherwise.
    """

    default_model_id: str = "en_US-joe-medium"
    preload_model_ids: tuple[str, ...] = ()
    ttl_ms: int = Field(default=600_000, ge=0)
    min_residency_ms: int = Field(default=120_000, ge=0)
    evict_check_interval_ms: int = Field(default=30_000, ge=10)
    resident_cap: int = Field(default=3, ge=1)
    memory_cap_bytes: int = Field(default=0, ge=0)
    max_parallel_loads: int = Field(default=1, ge=1)
    max_parallel_fetches: int = Field(default=4, ge=1)
    load_timeout_ms: int = Field(default=120_000, ge=1)
    prefetch: bool = False
    fetch_stall_timeout_ms: int = Field(default=60_000, ge=1000)
    unload_drain_timeout_ms: int = Field(default=30_000, ge=0)

    @model_validator(mode="after")
    def _cap_holds_what_is_asked_for(self) -> ModelManagerSection:
        wanted = {self.default_model_id, *self.preload_model_ids} - {""}
        if len(wanted) > self.resident_cap:
            raise ValueError(
                f"resident_cap {self.resident_cap} is less than the {len(wanted)} default and preloaded models: "
                "raise resident_cap or shorten preload_model_ids"
            )
        return self


def _address_or_none(value: str) -> str:
    return host_and_port(value) if value else value


class RegistrationSection(RedisSection):
    """The Redis in which orchestrators on other hosts find this worker.

    Attributes:
        advertise: "host:port" at which orchestrators reach this worker; port 0 for that of worker.listen. Empty for the
            host of worker.listen or, if that is 0.0.0.0 or [::], for this machine's address towards Redis.
        lease_ms: A worker without a heartbeat for this long counts as gone.
        heartbeat_ms: How often the worker renews its lease.
    """

    advertise: Annotated[str, AfterValidator(_address_or_none)] = ""
    lease_ms: int = Field(default=2000, ge=MIN_LEASE_MS, le=MAX_LEASE_MS)
    heartbeat_ms: int = Field(default=500, ge=50)

    @model_validator(mode="after")
    def _survives_a_lost_heartbeat(self) -> RegistrationSection:
        if self.heartbeat_ms * 3 > self.lease_ms:
            raise ValueError(
                f"redis.heartbeat_ms {self.heartbeat_ms} is more than a third of redis.lease_ms {self.lease_ms}: "
                "lower heartbeat_ms or raise lease_ms, or one lost heartbeat ends the lease"
            )
        return self


class LogSection(Section):
    """Logs on standard error.

    Attributes:
        level: The minimum level that is written.
        json_lines: One JSON object a line; otherwise text for a terminal.
        transcripts: Whether spoken text may appear in the logs.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = True
    transcripts: bool = False


class WorkerSettings(Section):
    """All settings of a worker."""

    worker: WorkerSection = WorkerSection()
    model_manager: ModelManagerSection = ModelManagerSection()
    redis: RegistrationSection = RegistrationSection()
    log: LogSection = LogSection()
    tls: ServerTlsSection = ServerTlsSection()

    @model_validator(mode="after")
    def _others_can_reach_it(self) -> WorkerSettings:
        if self.redis.url and self.worker.listen.startswith("unix:"):
            raise ValueError(
                "redis.url is set, but worker.listen is a Unix socket, which other hosts cannot reach: "
                "set worker.listen to host:port, or remove redis.url"
            )
        return self
