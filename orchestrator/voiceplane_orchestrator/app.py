"""The orchestrator: its parts, its HTTP server, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from aiohttp import web
from voiceplane_common.addresses import listening
from voiceplane_common.clock import SystemClock
from voiceplane_common.errors import failed_precondition, unavailable
from voiceplane_common.logs import get_logger
from voiceplane_speech_input.asr.file_transcriber import FileTranscriber
from voiceplane_speech_input.asr.whisper import WhisperRecognizer
from voiceplane_speech_input.vad.silero import VoiceActivityDetector

from voiceplane_orchestrator.discovery.embedded import EmbeddedDiscovery
from voiceplane_orchestrator.discovery.static import StaticDiscovery
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.replies.echo import EchoReplier
from voiceplane_orchestrator.replies.llm import LlmReplier
from voiceplane_orchestrator.routing.router import Router
from voiceplane_orchestrator.sessions.factory import SessionFactory
from voiceplane_orchestrator.transports.admission import SessionAdmission
from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore
from voiceplane_orchestrator.transports.http.app import make_app
from voiceplane_orchestrator.transports.rate_limit import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_speech_input.asr.file_transcriber import FileRecognizer
    from voiceplane_speech_input.asr.recognizer import Recognizer
    from voiceplane_speech_input.audio_input import VoiceActivity

    from voiceplane_orchestrator.discovery.base import Discovery
    from voiceplane_orchestrator.replies.base import Replier
    from voiceplane_orchestrator.settings import OrchestratorSettings
    from voiceplane_orchestrator.transports.livekit.agent import RoomAgent

SHUTDOWN_TIMEOUT_S = 2.0

_log = get_logger("orchestrator")


class Orchestrator:
    """One orchestrator. Use as an asynchronous context manager.

    Attributes:
        url: Where it listens, with the actual port if port 0 was set.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        *,
        recognizer: Recognizer | None = None,
        file_recognizer: FileRecognizer | None = None,
        replier: Replier | None = None,
        voice_activity: Callable[[], VoiceActivity] = VoiceActivityDetector,
    ) -> None:
        """Assemble the parts.

        Args:
            settings: All settings.
            recognizer: Replaces the one that the settings name.
            file_recognizer: Likewise, for files.
            replier: Replaces the one that the settings name.
            voice_activity: Creates the voice activity detector of a session.
        """
        self.settings = settings
        self.url = ""
        self.metrics = Metrics()
        self._discovery = make_discovery(settings, self.metrics)
        self._recognizer = recognizer or WhisperRecognizer(settings.asr)
        self._file_recognizer = file_recognizer or FileTranscriber(settings.asr, settings.transcription)
        self._replier = replier or make_replier(settings)
        self._router = Router(discovery=self._discovery, settings=settings.routing, tls=settings.worker_tls)
        router = self._router
        self.metrics.follow_workers(lambda: [worker.status for worker in router.workers()])
        if isinstance(self._recognizer, WhisperRecognizer):
            whisper = self._recognizer
            self.metrics.asr_queue.set_function(lambda: whisper.waiting)
        self._clock = clock = SystemClock()
        factory = SessionFactory(
            settings=settings,
            router=self._router,
            recognizer=self._recognizer,
            replier=self._replier,
            voice_activity=voice_activity,
            metrics=self.metrics,
            clock=clock,
        )
        self._admission = SessionAdmission(max_sessions=settings.limits.max_sessions, metrics=self.metrics)
        self._api_keys = ApiKeyStore(
            (key.get_secret_value() for key in settings.auth.api_keys),
            admin_keys=(key.get_secret_value() for key in settings.auth.admin_keys),
            file=settings.auth.keys_file,
        )
        rate_limiter = RateLimiter(
            requests_per_minute=settings.limits.requests_per_minute,
            connections_per_caller=settings.limits.connections_per_caller,
            clock=clock,
        )
        app = make_app(
            factory=factory,
            file_recognizer=self._file_recognizer,
            router=self._router,
            admission=self._admission,
            api_keys=self._api_keys,
            rate_limiter=rate_limiter,
        )
        self._agent = make_agent(factory, admission=self._admission, app=app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=settings.server.keepalive_timeout_ms / 1000,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            handler_cancellation=True,
        )
        self._exits = contextlib.AsyncExitStack()

    @property
    def live_sessions(self) -> int:
        """How many conversations, speech streams and speech files are open."""
        return len(self._admission.kinds)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as exits:
            exits.push_async_callback(self._discovery.aclose)
            await self._discovery.start()
            exits.push_async_callback(self._replier.aclose)
            exits.push_async_callback(self._recognizer.aclose)
            exits.push_async_callback(self._file_recognizer.aclose)
            await exits.enter_async_context(self._router)  # workers load their models while ASR loads its own
            await self._recognizer.start()
            watching = asyncio.create_task(self._api_keys.watch(self._clock), name="keys")
            exits.callback(watching.cancel)
            exits.push_async_callback(self._runner.cleanup)
            await self._listen()
            if self._agent is not None:
                await exits.enter_async_context(self._agent)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._admission.end()
        await self._exits.aclose()

    async def wait_ready(self, *, timeout_s: float) -> None:
        """Return when a session can be served.

        Raises:
            VoiceplaneError: UNAVAILABLE: no worker became ready in that time.
        """
        await self._router.wait_for_worker(timeout_s=timeout_s)

    async def wait_in_rooms(self, *, timeout_s: float) -> None:
        """Return when the LiveKit server has registered our agent, so that it can dispatch it to rooms.

        Raises:
            VoiceplaneError: It did not register the agent in that time, or no LiveKit server is configured.
        """
        if self._agent is None:
            raise failed_precondition(
                "LIVEKIT_OFF", "no LiveKit server is configured: set livekit.url", field="livekit.url"
            )
        try:
            await asyncio.wait_for(self._agent.wait_registered(), timeout_s)
        except TimeoutError:
            message = (
                f"{self.settings.livekit.url} has not registered the agent within {timeout_s:g} s: "
                "check that the server runs and accepts livekit.api_key"
            )
            raise unavailable("LIVEKIT_UNREACHABLE", message, retry_after_ms=1000) from None

    async def wait_idle(self) -> None:
        """Return when no session is open."""
        await self._admission.wait_idle()

    async def drain(self) -> None:
        """Admit no new session; open ones may finish their current utterance within the drain timeout."""
        self._admission.finish()
        if self._agent is not None:
            await self._agent.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_timeout_ms / 1000):
                await self._admission.wait_idle()

    async def _listen(self) -> None:
        server = self.settings.server
        await self._runner.setup()
        site = web.TCPSite(self._runner, server.host.strip("[]"), server.port)
        with listening(server.listen, setting="server.listen"):
            await site.start()
        self.url = f"http://{server.host}:{self._runner.addresses[0][1]}"
        _log.info("listening", url=self.url)


def make_agent(factory: SessionFactory, *, admission: SessionAdmission, app: web.Application) -> RoomAgent | None:
    """Create the LiveKit agent, and add its HTTP endpoints, as the settings say; None for no agent.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, EXTRA_MISSING.
    """
    settings = factory.settings
    if not (settings.transport.webrtc and settings.livekit.url):
        return None
    try:
        # Here, so that an installation without LiveKit does not need its libraries.
        from voiceplane_orchestrator.transports.livekit.agent import RoomAgent  # noqa: PLC0415
        from voiceplane_orchestrator.transports.livekit.endpoints import RoomEndpoints  # noqa: PLC0415
    except ImportError as error:
        message = f"livekit.url is set, which needs the extra voiceplane-orchestrator[webrtc]: {error}"
        raise failed_precondition("EXTRA_MISSING", message, field="livekit.url") from None
    agent = RoomAgent(factory=factory, admission=admission)
    endpoints = RoomEndpoints(
        settings.livekit, dispatch_agent=agent.dispatch_agent, wait_registered=agent.wait_registered
    )
    endpoints.add_to(app)
    return agent if settings.livekit.serve_rooms else None


def make_discovery(settings: OrchestratorSettings, metrics: Metrics) -> Discovery:
    """Create the discovery of workers that the settings name."""
    discovery = settings.discovery
    if discovery.kind == "embedded":
        return EmbeddedDiscovery(discovery.worker_args)
    if discovery.kind == "kubernetes":
        # Here, so that an installation on one host does not need the Kubernetes client.
        from voiceplane_orchestrator.discovery.kubernetes import KubernetesDiscovery  # noqa: PLC0415

        return KubernetesDiscovery(
            namespaces=discovery.namespaces, selector=discovery.selector, kubeconfig=discovery.kubeconfig
        )
    if discovery.kind == "redis":
        # Here, so that other installations do not need the Redis client.
        from voiceplane_orchestrator.discovery.redis import LeaseMetrics, RedisDiscovery  # noqa: PLC0415

        return RedisDiscovery(settings.redis, metrics=LeaseMetrics(metrics.registry))
    return StaticDiscovery(discovery.workers)


def make_replier(settings: OrchestratorSettings) -> Replier:
    """Create the replies that the settings name."""
    return LlmReplier(settings.replies) if settings.replies.engine == "llm" else EchoReplier()
