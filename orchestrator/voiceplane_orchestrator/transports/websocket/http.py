"""The HTTP endpoints beside the WebSockets: speech as a file, models, workers, health, metrics and the page."""

from __future__ import annotations

import dataclasses
import struct
import uuid
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import grpc
import prometheus_client
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common.errors import VoiceplaneError, invalid, not_found
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.sessions.text import check_text, once
from voiceplane_orchestrator.transports.websocket.auth import Keys, same_origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.speech.frames import SpeechFrame
    from voiceplane_orchestrator.transports.websocket.sessions import SessionEndpoints

CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
OPEN_PATHS = ("/", "/healthz", "/readyz")
MAX_BODY_BYTES = 1 << 20
_WAV_UNKNOWN = 0xFFFF_FFFF

_log = get_logger("http")


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    model: str = ""
    voice: str = ""
    response_format: Literal["wav", "pcm"] = "wav"
    speed: float = Field(default=1.0, ge=0.5, le=2.0)


class HttpEndpoints:
    """Everything that is not a WebSocket."""

    def __init__(self, *, factory: SessionFactory, router: Router) -> None:
        self._factory = factory
        self._router = router

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/speech."""
        try:
            wanted = SpeechRequest.model_validate_json(await request.read())
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise invalid(name, f"{name or 'body'}: {problem['msg']}", reason="INVALID_MESSAGE") from None
        check_text(wanted.input, max_chars=self._factory.settings.limits.max_text_chars, field="input")
        selection = self._factory.selection("", model=wanted.model, voice=wanted.voice, speed=wanted.speed)
        speaker = self._factory.speaker(session_id=uuid.uuid4().hex, selection=selection)
        try:
            frames = speaker.speak(once(wanted.input), utterance_id="1", epoch=1)
            return await _stream(request, frames, wav=wanted.response_format == "wav")
        finally:
            await speaker.close()

    async def models(self, _request: web.Request) -> web.Response:
        """GET /v1/models."""
        models: dict[str, dict[str, object]] = {}
        for worker in self._router.workers():
            for model in worker.models:
                entry = models.setdefault(
                    model.model_id,
                    {
                        "id": model.model_id,
                        "family": model.family,
                        "is_default": model.is_default,
                        "voices": [dataclasses.asdict(voice) for voice in model.voices],
                        "workers": [],
                    },
                )
                on = entry["workers"]
                assert isinstance(on, list)  # noqa: S101  # made so above
                on.append(
                    {
                        "worker": worker.address,
                        "state": model.state,
                        "reason": model.reason,
                        "message": model.message,
                        "references": model.references,
                        "memory_bytes": model.memory_bytes,
                    }
                )
        return web.json_response({"models": [models[name] for name in sorted(models)]})

    async def change_model(self, request: web.Request) -> web.Response:
        """POST /v1/models/{id}/load, unload or reload."""
        actions: dict[str, Callable[[str], Awaitable[dict[str, str]]]] = {
            "load": self._router.load,
            "unload": self._router.unload,
            "reload": self._router.reload,
        }
        model_id = request.match_info["id"]
        return web.json_response({"id": model_id, "workers": await actions[request.match_info["action"]](model_id)})

    async def workers(self, _request: web.Request) -> web.Response:
        """GET /v1/workers."""
        left_out = {"models", "barred", "connected"}
        return web.json_response(
            {
                "workers": [
                    {name: value for name, value in dataclasses.asdict(worker).items() if name not in left_out}
                    for worker in self._router.workers()
                ]
            }
        )

    async def healthz(self, _request: web.Request) -> web.Response:
        """GET /healthz."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """GET /readyz."""
        if self._router.ready:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "no_worker", "reason": "no worker is ready"}, status=503)

    async def metrics(self, _request: web.Request) -> web.Response:
        """GET /metrics."""
        body = prometheus_client.generate_latest(self._factory.metrics.registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: prometheus_client.CONTENT_TYPE_LATEST})

    async def page(self, request: web.Request) -> web.Response:
        """GET / and /assets/NAME."""
        name = request.match_info.get("name", "index.html")
        suffix = name[name.rfind(".") :]
        folder = files("voiceplane_orchestrator").joinpath("web")
        # The pattern of the route lets no name with a slash through, so that none leads out of the folder.
        path = folder.joinpath(name) if name == "index.html" else folder.joinpath("assets", name)
        if suffix not in CONTENT_TYPES or not path.is_file():
            raise not_found("path", f"there is no {request.path} here")
        return web.Response(body=path.read_bytes(), content_type=CONTENT_TYPES[suffix], headers=PAGE_HEADERS)


def make_app(*, factory: SessionFactory, router: Router, sessions: SessionEndpoints, keys: Keys) -> web.Application:
    """The routes, behind the checks of keys and origins."""
    http = HttpEndpoints(factory=factory, router=router)
    allowed = factory.settings.server.allowed_origins

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            is_open = request.path in OPEN_PATHS or request.path.startswith("/assets/")
            if not is_open and not keys.admit(request):
                message = "an API key is needed: send it as Authorization: Bearer KEY"
                raise VoiceplaneError(grpc.StatusCode.UNAUTHENTICATED, "KEY_NEEDED", message)
            changes = request.method != "GET" or hdrs.UPGRADE in request.headers
            if changes and not same_origin(request, allowed=allowed):
                message = "this page's origin is not allowed: add it to server.allowed_origins"
                raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "ORIGIN_REFUSED", message)
            return await handler(request)
        except VoiceplaneError as error:
            factory.metrics.errors.labels(error.reason).inc()
            return _error_response(error)

    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/v1/talk", sessions.talk)
    app.router.add_get("/v1/speak", sessions.speak)
    app.router.add_post("/v1/audio/speech", http.speech)
    app.router.add_get("/v1/models", http.models)
    app.router.add_post("/v1/models/{id}/{action:load|unload|reload}", http.change_model)
    app.router.add_get("/v1/workers", http.workers)
    app.router.add_get("/healthz", http.healthz)
    app.router.add_get("/readyz", http.readyz)
    app.router.add_get("/metrics", http.metrics)
    app.router.add_get("/", http.page)
    app.router.add_get("/assets/{name:[A-Za-z0-9_.-]+}", http.page)
    return app


def _error_response(error: VoiceplaneError) -> web.Response:
    body = {
        "code": error.code.name,
        "reason": error.reason,
        "field": error.field,
        "message": error.message,
        "retry_after_ms": error.retry_after_ms,
    }
    headers = {}
    if error.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-error.retry_after_ms // 1000))
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return web.json_response({"error": body}, status=STATUSES.get(error.code, 500), headers=headers)


async def _stream(request: web.Request, frames: AsyncIterator[SpeechFrame], *, wav: bool) -> web.StreamResponse:
    """Answer with audio as it comes; an error before the first of it is still an HTTP status."""
    response: web.StreamResponse | None = None
    async for frame in frames:
        if not frame.valid_samples:
            continue
        if response is None:
            response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "audio/wav" if wav else "audio/pcm"})
            await response.prepare(request)
            if wav:
                await response.write(_wav_header())
        await response.write(frame.pcm[: 2 * frame.valid_samples])
    if response is None:
        raise invalid("input", "input holds nothing that can be spoken", reason="NOTHING_TO_SPEAK")
    await response.write_eof()
    return response


def _wav_header() -> bytes:
    rate, channels, width = 48_000, 1, 2
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * width, channels * width, 16)
    return struct.pack("<4sI4s", b"RIFF", _WAV_UNKNOWN, b"WAVE") + body + struct.pack("<4sI", b"data", _WAV_UNKNOWN)
