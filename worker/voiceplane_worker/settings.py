"""The worker's settings, in the names that its YAML file, its environment and its flags share."""

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
        sample_rate: Hz; the ABI has one, so another value is an error.
        frame_ms: Likewise.
        adapter: The family of models that name none.
        listen: "host:port" or "unix:/path" of the gRPC server.
        metrics_port: Prometheus metrics over HTTP; 0 turns them off.
        max_sessions: Sessions at once; one more is refused with RESOURCE_EXHAUSTED.
        session_idle_timeout_ms: A session without a call or stream ends after this.
        max_chunk_chars: Code points in one TextChunk; a longer one is refused with INVALID_ARGUMENT.
        compute_workers: Inference steps that run at the same time.
        threads_per_step: Threads that one step uses on a CPU.
        burst_frames: Frames sent at once when an utterance begins, so that a receiver's buffer can absorb jitter.
        buffer_ms: Audio that is computed ahead of what has been sent.
        drain_timeout_ms: After SIGTERM, how long sessions may go on.
        packs_dir: Voice packs that are known by their folder; None for the ones that come with Voiceplane.
        models_file: A YAML file of further models; in a cluster, the operator writes it.
        private_sources: Networks, besides the public ones, that https: sources may be in, such as "10.20.0.0/16".
        hosted_families: Families of which each model runs in a child process; unloading it gives all its memory back.
        credentials_dir: Credentials for sources that ask for them: a folder for each set, a file in it for each key.
        accept_licences: Licences of voice packs that may be used although they forbid commercial use.
        health_listen: "host:port" where health alone is told, in plain text: probes know no TLS. Empty for none.
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
    accept_licences: tuple[str, ...] = ()
    private_sources: tuple[str, ...] = ()
    hosted_families: tuple[str, ...] = ()
    health_listen: str = ""


class ModelManagerSection(Section):
    """Which models are resident, and for how long.

    Attributes:
        default_model_id: The model of a session that names none; loaded before the worker is ready.
        preload_model_ids: Loaded before the worker is ready, too.
        ttl_ms: A model unused for this long is unloaded.
        min_residency_ms: No model is evicted sooner than this after its load.
        evict_check_interval_ms: How often the TTL is looked at.
        resident_cap: Models resident at once.
        memory_cap_bytes: Their memory together; 0 for no limit.
        max_parallel_loads: Loads at once.
        load_timeout_ms: A load that takes longer has failed.
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
    load_timeout_ms: int = Field(default=120_000, ge=1)
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
    """The Redis where orchestrators of other hosts find this worker.

    Attributes:
        advertise: "host:port" that leads others to this worker; port 0 for that of worker.listen. Empty for the host of
            worker.listen or, if that is 0.0.0.0 or [::], for this machine's address on the way to Redis.
        lease_ms: A worker that has not been heard of for so long counts as gone.
        heartbeat_ms: How often it is heard of.
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
        level: The least severe level that is written.
        json_lines: One JSON object a line; otherwise lines for a terminal.
        transcripts: Whether what is spoken may appear in the logs.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = True
    transcripts: bool = False


class WorkerSettings(Section):
    """Everything that a worker can be told."""

    worker: WorkerSection = WorkerSection()
    model_manager: ModelManagerSection = ModelManagerSection()
    redis: RegistrationSection = RegistrationSection()
    log: LogSection = LogSection()
    tls: ServerTlsSection = ServerTlsSection()

    @model_validator(mode="after")
    def _others_can_reach_it(self) -> WorkerSettings:
        if self.redis.url and self.worker.listen.startswith("unix:"):
            raise ValueError(
                "redis.url is given, and worker.listen is a Unix socket, which no other host reaches: "
                "set worker.listen to host:port, or remove redis.url"
            )
        return self
