"""The orchestrator's settings, named as in its YAML file; environment variables and flags use the same names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from voiceplane_common.addresses import HostAndPort, host_and_port
from voiceplane_common.settings import Section
from voiceplane_common.tls import ClientTlsSection
from voiceplane_common.worker_registry.settings import RedisSection
from voiceplane_speech_input.asr.settings import AsrSection
from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection
from voiceplane_speech_input.vad.settings import VadSection

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


def _worker_address(value: str) -> str:
    return value if value.startswith("unix:/") else host_and_port(value)


WorkerAddress = Annotated[str, AfterValidator(_worker_address)]


class ServerSection(Section):
    """The HTTP and WebSocket server.

    Attributes:
        listen: "host:port"; port 0 lets the system choose.
        allowed_origins: Origins of pages, besides our own, that may open a WebSocket.
        keepalive_timeout_ms: A connection that has sent no complete request for this time is closed. A proxy in front
            that keeps connections alive should close them sooner.
        drain_timeout_ms: How long sessions may continue after SIGTERM.
    """

    listen: HostAndPort = "127.0.0.1:8080"
    allowed_origins: tuple[str, ...] = ()
    keepalive_timeout_ms: int = Field(default=75_000, ge=100)
    drain_timeout_ms: int = Field(default=10_000, ge=0)

    @property
    def host(self) -> str:
        """The host part of listen."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port part of listen."""
        return int(self.listen.rpartition(":")[2])


class AuthSection(Section):
    """Authentication of clients.

    Attributes:
        api_keys: Accepted keys, in plain text or as "sha256:" and the digest. Without any, and without keys_file,
            no key is needed, which is allowed on loopback only.
        admin_keys: Likewise, keys that may load models from any source, besides all that other keys may do.
        keys_file: A file of accepted keys, as `voiceplane keys` writes it; read again when it changes.
        allow_anonymous: Allow requests without a key on other addresses, too.
    """

    api_keys: tuple[SecretStr, ...] = ()
    admin_keys: tuple[SecretStr, ...] = ()
    keys_file: str = ""
    allow_anonymous: bool = False

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _check_api_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # An empty secret would accept an empty key.
        if any(not key.get_secret_value().strip() for key in keys):
            raise ValueError("a key is blank: set it, or remove its entry")
        digests = [key.get_secret_value() for key in keys if key.get_secret_value().lower().startswith("sha256:")]
        if not all(re.fullmatch(r"sha256:[0-9a-f]{64}", key.strip().lower()) for key in digests):
            raise ValueError("a key that begins with sha256: must have 64 hexadecimal digits after it")
        return keys

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self.api_keys and not self.admin_keys and not self.keys_file


class TransportSection(Section):
    """The transports.

    Attributes:
        webrtc: Rooms of a LiveKit server, if livekit.url is set.
        ws_fallback: The WebSocket of docs/reference/websocket.md.
    """

    webrtc: bool = True
    ws_fallback: bool = True

    @model_validator(mode="after")
    def _check_a_transport_is_enabled(self) -> TransportSection:
        if not self.ws_fallback:
            raise ValueError("no transport is enabled: set transport.ws_fallback to true")
        return self


class LiveKitSection(Section):
    """The LiveKit server, for WebRTC.

    Attributes:
        url: ws:// or wss://; empty for no WebRTC. LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET give the first
            three, too.
        api_key: An API key of the server.
        api_secret: Its secret.
        public_url: The server as browsers reach it; empty for url.
        agent_name: Name of the agent; agents of the same name replace each other.
        serve_rooms: Register as an agent; otherwise only issue access tokens.
        token_ttl_ms: How long a token allows a client to enter a room.
        leave_after_ms: How long an agent waits for a user who has not joined yet, or has left.
    """

    url: str = Field(default="", pattern=r"^((ws|http)s?://.+)?$")
    api_key: str = ""
    api_secret: SecretStr = SecretStr("")
    public_url: str = Field(default="", pattern=r"^(wss?://.+)?$")
    agent_name: str = Field(default="voiceplane", min_length=1, max_length=128)
    serve_rooms: bool = True
    token_ttl_ms: int = Field(default=60_000, ge=1000, le=3_600_000)
    leave_after_ms: int = Field(default=30_000, ge=1000)

    @model_validator(mode="after")
    def _check_livekit_keys(self) -> LiveKitSection:
        if self.url and not (self.api_key and self.api_secret.get_secret_value()):
            raise ValueError("livekit.url is set without its keys: set livekit.api_key and livekit.api_secret")
        return self


class DiscoverySection(Section):
    """Discovery of workers.

    Attributes:
        kind: "static": the addresses in workers. "embedded": one worker that the orchestrator starts itself.
            "kubernetes": the endpoints of the worker pools' Services. "redis": workers that register in a Redis. Where
            neither kind nor workers are set, redis.url alone selects "redis".
        workers: "host:port" or "unix:/path".
        worker_args: Flags of the embedded worker.
        namespaces: Namespaces of the pools; if empty, the pod's own.
        selector: Label selector of the EndpointSlices.
        kubeconfig: A kubeconfig file; if empty, KUBECONFIG or, in a pod, its ServiceAccount.
    """

    kind: Literal["static", "embedded", "kubernetes", "redis"] = "static"
    workers: tuple[WorkerAddress, ...] = ("127.0.0.1:50051",)
    worker_args: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    selector: str = "app.kubernetes.io/name=voiceplane-worker"
    kubeconfig: str = ""

    @model_validator(mode="after")
    def _check_static_has_workers(self) -> DiscoverySection:
        if self.kind == "static" and not self.workers:
            raise ValueError("kind static needs workers, such as [127.0.0.1:50051]: set them, or set kind to embedded")
        return self


def _policy_by_any_name(value: object) -> object:
    return "balanced" if value == "default" else value


class RoutingSection(Section):
    """Which worker serves a session.

    Attributes:
        policy: "balanced", or "default", weighs residency, load and latency; "least_loaded" only load.
        prefer_resident: Prefer a worker that has the model resident over one that would have to load it.
        recovery_timeout_ms: How long a session waits for a worker when there is none.
    """

    policy: Annotated[Literal["balanced", "least_loaded"], BeforeValidator(_policy_by_any_name)] = "balanced"
    prefer_resident: bool = True
    recovery_timeout_ms: int = Field(default=60_000, ge=0)


class RepliesSection(Section):
    """Replies to the user.

    Attributes:
        engine: "echo" repeats what the user said; "llm" asks an OpenAI-compatible server.
        base_url: Its base URL, such as http://127.0.0.1:11434/v1.
        model: Its model's name.
        api_key: Its API key.
        system_prompt: Its system prompt.
        first_token_timeout_ms: How long its first token, and then each next one, may take.
        max_history: The latest messages of the conversation that it gets.
    """

    engine: Literal["echo", "llm"] = "echo"
    base_url: str = ""
    model: str = ""
    api_key: SecretStr = SecretStr("")
    system_prompt: str = "You are spoken to and heard. Answer in one to three short sentences, without any markup."
    first_token_timeout_ms: int = Field(default=15_000, ge=100)
    max_history: int = Field(default=40, ge=2)

    @model_validator(mode="after")
    def _check_llm_has_server_and_model(self) -> RepliesSection:
        if self.engine == "llm" and not (self.base_url and self.model):
            raise ValueError("engine llm needs base_url and model, such as http://127.0.0.1:11434/v1 and llama3.2")
        return self


class LimitsSection(Section):
    """Limits of one client, and of all together.

    Attributes:
        max_sessions: Open sessions at once.
        max_text_chars: Most characters of one text.
        idle_timeout_ms: A session without any message for this time ends.
        write_timeout_ms: A client that has not read for this time is disconnected.
        requests_per_minute: Requests of one caller (a key's owner, or an address); more get status 429.
        connections_per_caller: Open requests and WebSockets of one caller.
    """

    max_sessions: int = Field(default=64, ge=1)
    max_text_chars: int = Field(default=20_000, ge=1, le=200_000)  # a worker's stream holds 262,144
    idle_timeout_ms: int = Field(default=300_000, ge=1000)
    write_timeout_ms: int = Field(default=10_000, ge=100)
    requests_per_minute: int = Field(default=600, ge=1)
    connections_per_caller: int = Field(default=128, ge=1)


class PrivacySection(Section):
    """What is kept of conversations; by default nothing.

    Attributes:
        log_transcripts: Write transcripts to the logs.
        retain_audio: Write each turn's audio as a WAV file.
        retention_dir: The folder of these files.
    """

    log_transcripts: bool = False
    retain_audio: bool = False
    retention_dir: Path = Path("voiceplane-audio")


class LogSection(Section):
    """Logs on standard error.

    Attributes:
        level: The least severe level that is written.
        json_lines: One JSON object a line; otherwise lines for a terminal.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = True


class OrchestratorSettings(Section):
    """All settings of an orchestrator."""

    server: ServerSection = ServerSection()
    auth: AuthSection = AuthSection()
    transport: TransportSection = TransportSection()
    livekit: LiveKitSection = LiveKitSection()
    asr: AsrSection = AsrSection()
    vad: VadSection = VadSection()
    endpointing: EndpointingSection = EndpointingSection()
    interruptions: InterruptionsSection = InterruptionsSection()
    replies: RepliesSection = RepliesSection()
    routing: RoutingSection = RoutingSection()
    discovery: DiscoverySection = DiscoverySection()
    worker_tls: ClientTlsSection = ClientTlsSection()
    redis: RedisSection = RedisSection()
    limits: LimitsSection = LimitsSection()
    privacy: PrivacySection = PrivacySection()
    log: LogSection = LogSection()

    @model_validator(mode="before")
    @classmethod
    def _read_livekit_environment(cls, values: dict[str, object]) -> dict[str, object]:
        variables = {name: os.environ.get(f"LIVEKIT_{name.upper()}") for name in ("url", "api_key", "api_secret")}
        named = {name: value for name, value in variables.items() if value}
        given = values.get("livekit", {})
        return values | {"livekit": named | given} if named and isinstance(given, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _discover_in_redis_where_nothing_else_is_named(cls, values: dict[str, Any]) -> dict[str, Any]:
        redis, discovery = values.get("redis"), values.get("discovery", {})
        if not (isinstance(redis, dict) and redis.get("url") and isinstance(discovery, dict)):
            return values
        if discovery.keys() & {"kind", "workers"}:
            return values
        return values | {"discovery": discovery | {"kind": "redis"}}

    @model_validator(mode="after")
    def _check_embedded_worker_without_tls(self) -> OrchestratorSettings:
        if self.worker_tls.on and self.discovery.kind == "embedded":
            raise ValueError("an embedded worker listens on a Unix socket without TLS: remove worker_tls")
        return self

    @model_validator(mode="after")
    def _check_redis_matches_discovery(self) -> OrchestratorSettings:
        if self.discovery.kind == "redis" and not self.redis.url:
            raise ValueError("discovery.kind redis needs redis.url: set it, such as redis://10.0.0.2:6379")
        if self.redis.url and self.discovery.kind != "redis":
            raise ValueError(
                f"redis.url is set, but discovery.kind {self.discovery.kind} does not use it: "
                "set discovery.kind to redis, or remove redis.url"
            )
        return self

    @model_validator(mode="after")
    def _check_authentication_beyond_loopback(self) -> OrchestratorSettings:
        is_anonymous = self.auth.is_open and not self.auth.allow_anonymous
        if is_anonymous and self.server.host not in LOOPBACK_HOSTS:
            raise ValueError(
                f"server.listen {self.server.listen} can be reached from other hosts, and auth.api_keys is empty: "
                "set a key, listen on 127.0.0.1, or set auth.allow_anonymous"
            )
        return self
