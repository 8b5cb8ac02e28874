"""The orchestrator's settings, in the names of its YAML file; environment and flags use the same ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
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
        keepalive_timeout_ms: A connection without a whole request for so long, the first one or the next, is closed. A
            proxy in front that keeps connections should close them sooner.
        drain_timeout_ms: After SIGTERM, how long sessions may go on.
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
    """Who may call.

    Attributes:
        api_keys: Accepted keys, in plain text or as "sha256:" and the digest. Without any, and without keys_file,
            everybody is let in, which is allowed on loopback only.
        keys_file: A file of accepted keys, as `voiceplane keys` writes it; read again when it changes.
        allow_anonymous: Let everybody in on other addresses, too.
    """

    api_keys: tuple[SecretStr, ...] = ()
    keys_file: str = ""
    allow_anonymous: bool = False

    @field_validator("api_keys")
    @classmethod
    def _has_no_blank_key(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # A secret that was never filled in would let in whoever sends an empty key.
        if any(not key.get_secret_value().strip() for key in keys):
            raise ValueError("a key is blank: write it out, or remove its entry")
        digests = [key.get_secret_value() for key in keys if key.get_secret_value().lower().startswith("sha256:")]
        if not all(re.fullmatch(r"sha256:[0-9a-f]{64}", key.strip().lower()) for key in digests):
            raise ValueError("a key begins with sha256: and goes on with something else than 64 hexadecimal digits")
        return keys

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return not self.api_keys and not self.keys_file


class TransportSection(Section):
    """How audio comes and goes.

    Attributes:
        webrtc: Rooms of a LiveKit server, if livekit.url names one.
        ws_fallback: The WebSocket of docs/reference/websocket.md.
    """

    webrtc: bool = True
    ws_fallback: bool = True

    @model_validator(mode="after")
    def _is_served(self) -> TransportSection:
        if not self.ws_fallback:
            raise ValueError("no transport is left: set transport.ws_fallback to true")
        return self


class LiveKitSection(Section):
    """The LiveKit server, for WebRTC.

    Attributes:
        url: ws:// or wss://; empty for no WebRTC. LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET give the first
            three, too.
        api_key: Names a key of the server.
        api_secret: Signs with it.
        public_url: The server as browsers reach it; empty for url.
        agent_name: Agents of one name stand in for each other.
        serve_rooms: Be an agent; otherwise only let people in.
        token_ttl_ms: How long a grant is good for entering.
        leave_after_ms: How long an agent waits for a person who has not come, or has gone.
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
    def _has_keys(self) -> LiveKitSection:
        if self.url and not (self.api_key and self.api_secret.get_secret_value()):
            raise ValueError("livekit.url is given without its keys: set livekit.api_key and livekit.api_secret")
        return self


class DiscoverySection(Section):
    """Where the workers are.

    Attributes:
        kind: "static": the addresses in workers. "embedded": one worker that the orchestrator runs itself.
            "kubernetes": the endpoints of the worker pools' Services. "redis": those that have registered in a Redis.
        workers: "host:port" or "unix:/path".
        worker_args: Flags of the embedded worker.
        namespaces: Of the pools; none for the pod's own.
        selector: Labels of the EndpointSlices.
        kubeconfig: A file; empty for KUBECONFIG or, in a pod, its own ServiceAccount.
    """

    kind: Literal["static", "embedded", "kubernetes", "redis"] = "static"
    workers: tuple[WorkerAddress, ...] = ("127.0.0.1:50051",)
    worker_args: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    selector: str = "app.kubernetes.io/name=voiceplane-worker"
    kubeconfig: str = ""

    @model_validator(mode="after")
    def _static_names_workers(self) -> DiscoverySection:
        if self.kind == "static" and not self.workers:
            raise ValueError("kind static needs workers, such as [127.0.0.1:50051]; or set kind to embedded")
        return self


class RoutingSection(Section):
    """Which worker serves a session.

    Attributes:
        policy: "balanced" weighs residency, load and latency; "least_loaded" only load.
        prefer_resident: A worker that has the model resident beats one that would have to load it.
        recovery_timeout_ms: How long a session waits for a worker when there is none.
    """

    policy: Literal["balanced", "least_loaded"] = "balanced"
    prefer_resident: bool = True
    recovery_timeout_ms: int = Field(default=60_000, ge=0)


class RepliesSection(Section):
    """What to answer.

    Attributes:
        engine: "echo" says back what was heard; "llm" asks an OpenAI-compatible server.
        base_url: Of that server, such as http://127.0.0.1:11434/v1.
        model: Its model.
        api_key: Its key.
        system_prompt: How it should speak.
        first_token_timeout_ms: How long its first token, and then each next one, may take.
        max_history: Messages of the conversation that it is given.
    """

    engine: Literal["echo", "llm"] = "echo"
    base_url: str = ""
    model: str = ""
    api_key: SecretStr = SecretStr("")
    system_prompt: str = "You are spoken to and heard. Answer in one to three short sentences, without any markup."
    first_token_timeout_ms: int = Field(default=15_000, ge=100)
    max_history: int = Field(default=40, ge=2)

    @model_validator(mode="after")
    def _llm_is_named(self) -> RepliesSection:
        if self.engine == "llm" and not (self.base_url and self.model):
            raise ValueError("engine llm needs base_url and model, such as http://127.0.0.1:11434/v1 and llama3.2")
        return self


class LimitsSection(Section):
    """What one client, and all of them, may ask for.

    Attributes:
        max_sessions: Conversations and speech streams at once.
        max_text_chars: Characters of one text.
        idle_timeout_ms: A session without any message ends.
        write_timeout_ms: A client that has not read for so long is disconnected.
        requests_per_minute: Of one caller (a key's owner, or an address); one more is answered with 429.
        connections_per_caller: Requests and WebSockets of one caller at once.
    """

    max_sessions: int = Field(default=64, ge=1)
    max_text_chars: int = Field(default=20_000, ge=1, le=200_000)  # a worker's stream holds 262,144
    idle_timeout_ms: int = Field(default=300_000, ge=1000)
    write_timeout_ms: int = Field(default=10_000, ge=100)
    requests_per_minute: int = Field(default=600, ge=1)
    connections_per_caller: int = Field(default=128, ge=1)


class PrivacySection(Section):
    """What is kept of what people say: nothing, unless asked for.

    Attributes:
        log_transcripts: Let words into the logs.
        retain_audio: Write each turn's audio as a WAV file.
        retention_dir: Where to.
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
    """Everything that an orchestrator can be told."""

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
    def _knows_livekits_variables(cls, values: dict[str, object]) -> dict[str, object]:
        variables = {name: os.environ.get(f"LIVEKIT_{name.upper()}") for name in ("url", "api_key", "api_secret")}
        named = {name: value for name, value in variables.items() if value}
        given = values.get("livekit", {})
        return values | {"livekit": named | given} if named and isinstance(given, dict) else values

    @model_validator(mode="after")
    def _own_worker_speaks_plainly(self) -> OrchestratorSettings:
        if self.worker_tls.on and self.discovery.kind == "embedded":
            raise ValueError("an embedded worker is on a socket of ours, without TLS: remove worker_tls")
        return self

    @model_validator(mode="after")
    def _redis_is_named_where_it_is_used(self) -> OrchestratorSettings:
        if self.discovery.kind == "redis" and not self.redis.url:
            raise ValueError("discovery.kind redis needs a Redis: set redis.url, such as redis://10.0.0.2:6379")
        if self.redis.url and self.discovery.kind != "redis":
            raise ValueError(
                f"redis.url is given, and discovery.kind {self.discovery.kind} does not use it: "
                "set discovery.kind to redis, or remove redis.url"
            )
        return self

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> OrchestratorSettings:
        open_door = self.auth.is_open and not self.auth.allow_anonymous
        if open_door and self.server.host not in LOOPBACK_HOSTS:
            raise ValueError(
                f"server.listen {self.server.listen} can be reached by others and auth.api_keys is empty: "
                "set a key, listen on 127.0.0.1, or set auth.allow_anonymous"
            )
        return self
