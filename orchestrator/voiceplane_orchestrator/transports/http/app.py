"""The HTTP application: every route, behind the checks of keys, origins and rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from voiceplane_orchestrator.settings import LOOPBACK_HOSTS
from voiceplane_orchestrator.transports.http.cors import CorsPolicy
from voiceplane_orchestrator.transports.http.errors import MAX_BODY_BYTES
from voiceplane_orchestrator.transports.http.health import HealthEndpoints
from voiceplane_orchestrator.transports.http.middleware import RequestChecks, make_middleware
from voiceplane_orchestrator.transports.http.models import ModelEndpoints
from voiceplane_orchestrator.transports.http.openapi import openapi
from voiceplane_orchestrator.transports.http.page import ASSET_PATTERN, page
from voiceplane_orchestrator.transports.http.speech import SpeechEndpoint
from voiceplane_orchestrator.transports.http.transcriptions import TranscriptionEndpoints
from voiceplane_orchestrator.transports.http.voice_names import VoiceNames
from voiceplane_orchestrator.transports.http.workers import WorkerEndpoints
from voiceplane_orchestrator.transports.websocket.endpoints import WebSocketEndpoints

if TYPE_CHECKING:
    from voiceplane_speech_input.asr.file_transcriber import FileRecognizer

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission
    from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore
    from voiceplane_orchestrator.transports.rate_limit import RateLimiter


def make_app(
    *,
    factory: SessionFactory,
    file_recognizer: FileRecognizer,
    router: Router,
    admission: SessionAdmission,
    api_keys: ApiKeyStore,
    rate_limiter: RateLimiter,
) -> web.Application:
    """Build the application."""
    cors = CorsPolicy(factory.settings.server.allowed_origins)
    checks = RequestChecks(factory.settings.server, api_keys=api_keys, rate_limiter=rate_limiter, cors=cors)
    sessions = WebSocketEndpoints(factory, admission=admission)
    names = VoiceNames(factory.settings.speech, workers=router.workers)
    speech = SpeechEndpoint(factory, admission=admission, names=names)
    is_local = factory.settings.server.host in LOOPBACK_HOSTS
    workers = WorkerEndpoints(router, api_keys=api_keys, is_local=is_local)
    models = ModelEndpoints(workers, names=names, asr_models=factory.settings.transcription.models)
    transcriptions = TranscriptionEndpoints(file_recognizer, settings=factory.settings, metrics=factory.metrics)
    health = HealthEndpoints(factory=factory, router=router, admission=admission)

    app = web.Application(
        middlewares=[make_middleware(checks, metrics=factory.metrics)], client_max_size=MAX_BODY_BYTES
    )
    app.on_response_prepare.append(cors.add_headers)
    app.router.add_get("/v1/talk", sessions.talk)
    app.router.add_get("/v1/speak", sessions.speak)
    app.router.add_post("/v1/audio/speech", speech.speech)
    app.router.add_post("/v1/audio/transcriptions", transcriptions.transcriptions)
    app.router.add_post("/v1/audio/translations", transcriptions.translations)
    app.router.add_get("/v1/audio/models", models.audio_models)
    app.router.add_get("/v1/audio/voices", models.voices)
    app.router.add_get("/v1/models", models.models)
    app.router.add_get("/v1/models/{id}", models.model)
    app.router.add_post("/v1/models/{id}/{action:load|unload|reload}", workers.change_model)
    app.router.add_get("/v1/workers", workers.workers)
    app.router.add_get("/v1/transports", health.transports)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/", page)
    app.router.add_get(ASSET_PATTERN, page)
    return app
