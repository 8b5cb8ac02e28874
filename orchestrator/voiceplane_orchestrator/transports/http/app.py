"""The HTTP endpoints beside the WebSockets: speech as a file, models, workers, health, metrics and the page."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import struct
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import grpc
import prometheus_client
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, internal, invalid, not_found
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.sessions.text_stream import check_text_length, single_chunk
from voiceplane_orchestrator.settings import LOOPBACK_HOSTS
from voiceplane_orchestrator.transports.auth import allowed_hosts, api_key_of, is_allowed_host, is_allowed_origin
from voiceplane_orchestrator.transports.http.openapi import document
from voiceplane_orchestrator.transports.send_buffer import limit_unsent_bytes
from voiceplane_orchestrator.transports.websocket.endpoints import WebSocketEndpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission
    from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore
    from voiceplane_orchestrator.transports.rate_limit import RateLimiter
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

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
TOO_MANY_REQUESTS = frozenset({"RATE_LIMITED", "TOO_MANY_CONNECTIONS"})
"""Reasons of RESOURCE_EXHAUSTED that are the caller's own doing, and not the server's."""
OPEN_PATHS = ("/", "/healthz", "/readyz", "/openapi.json")
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

    def __init__(self, *, factory: SessionFactory, router: Router, admission: SessionAdmission) -> None:
        self._factory = factory
        self._router = router
        self._admission = admission

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/speech."""
        try:
            wanted = SpeechRequest.model_validate_json(await request.read())
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise invalid(name, f"{name or 'body'}: {problem['msg']}", reason="INVALID_MESSAGE") from None
        check_text_length(wanted.input, max_chars=self._factory.settings.limits.max_text_chars, field="input")
        selection = await self._factory.selection("", model=wanted.model, voice=wanted.voice, speed=wanted.speed)
        with self._admission.admit("file") as session_id, tracing.new_trace("file", session_id=session_id):
            tts = self._factory.tts(session_id=session_id, selection=selection)
            try:
                async with contextlib.aclosing(
                    tts.speak(single_chunk(wanted.input), utterance_id="1", epoch=1)
                ) as frames:
                    return await self._stream(request, frames, wav=wanted.response_format == "wav")
            finally:
                await tts.close()

    async def _stream(
        self, request: web.Request, frames: AsyncIterator[SpeechFrame], *, wav: bool
    ) -> web.StreamResponse:
        """Answer with audio as it comes; an error before the first of it is still an HTTP status."""
        async for first in frames:
            if first.valid_samples:
                break
        else:
            raise invalid("input", "input holds nothing that can be spoken", reason="NOTHING_TO_SPEAK")
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "audio/wav" if wav else "audio/pcm"})
        await response.prepare(request)
        limit_unsent_bytes(request)
        try:
            await self._write(response, (_wav_header() if wav else b"") + _speech(first))
            async for frame in frames:
                await self._write(response, _speech(frame))
            await response.write_eof()
        except (VoiceplaneError, TimeoutError, ConnectionError) as error:
            # The status is sent already: only an end without the last chunk tells that something is missing.
            self._factory.metrics.error_told(getattr(error, "reason", "SLOW_READER"))
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._factory.settings.limits.write_timeout_ms / 1000):
            await response.write(data)

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
                        "languages": sorted(model.languages or {voice.language for voice in model.voices}),
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
                        "fetched_bytes": model.fetched_bytes,
                        "fetch_bytes": model.fetch_bytes,
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
        left_out = {"models", "barred", "connected", "open", "full"}
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
        if self._admission.finishing.is_set():
            return web.json_response({"status": "draining", "reason": "the server shuts down"}, status=503)
        if self._router.ready:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "no_worker", "reason": "no worker is ready"}, status=503)

    async def transports(self, _request: web.Request) -> web.Response:
        """GET /v1/transports."""
        settings = self._factory.settings
        webrtc = settings.transport.webrtc and bool(settings.livekit.url)
        return web.json_response({"webrtc": webrtc, "websocket": settings.transport.ws_fallback})

    async def metrics(self, _request: web.Request) -> web.Response:
        """GET /metrics."""
        body = prometheus_client.generate_latest(self._factory.metrics.registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: prometheus_client.CONTENT_TYPE_LATEST})

    async def openapi(self, _request: web.Request) -> web.Response:
        """GET /openapi.json."""
        return web.json_response(document())

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


def make_app(
    *,
    factory: SessionFactory,
    router: Router,
    admission: SessionAdmission,
    api_keys: ApiKeyStore,
    rate_limiter: RateLimiter,
) -> web.Application:
    """The routes, behind the checks of keys, origins and limits."""
    http = HttpEndpoints(factory=factory, router=router, admission=admission)
    sessions = WebSocketEndpoints(factory, admission=admission)
    allowed = factory.settings.server.allowed_origins
    names = allowed_hosts(allowed)
    is_private = api_keys.is_open and factory.settings.server.host in LOOPBACK_HOSTS

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            is_open = request.path in OPEN_PATHS or request.path.startswith("/assets/")
            if is_private and not is_allowed_host(request, names=names):
                message = (
                    f"this server is for its own machine, and {request.host!r} is not its name: open it as localhost, "
                    "set auth.api_keys, or add this origin to server.allowed_origins"
                )
                raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "HOST_REFUSED", message)
            caller = None if api_keys.is_open else api_keys.caller_of(api_key_of(request))
            if not is_open and not api_keys.is_open and caller is None:
                message = "an API key is needed: send it as Authorization: Bearer KEY"
                raise VoiceplaneError(grpc.StatusCode.UNAUTHENTICATED, "KEY_NEEDED", message)
            changes = request.method != "GET" or hdrs.UPGRADE in request.headers
            if changes and not is_allowed_origin(request, allowed=allowed):
                message = "this page's origin is not allowed: add it to server.allowed_origins"
                raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "ORIGIN_REFUSED", message)
            if is_open:
                return await handler(request)
            with rate_limiter.enter(caller or f"anonymous at {request.remote}"):
                return await handler(request)
        except VoiceplaneError as error:
            factory.metrics.error_told(error.reason)
            return _error_response(error)
        except web.HTTPException as error:
            return _http_exception_response(error)
        except Exception as error:
            _log.error("request failed", path=request.path, exc_info=error)
            factory.metrics.error_told("INTERNAL")
            return _error_response(internal())

    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/v1/talk", sessions.talk)
    app.router.add_get("/v1/speak", sessions.speak)
    app.router.add_post("/v1/audio/speech", http.speech)
    app.router.add_get("/v1/models", http.models)
    app.router.add_post("/v1/models/{id}/{action:load|unload|reload}", http.change_model)
    app.router.add_get("/v1/workers", http.workers)
    app.router.add_get("/v1/transports", http.transports)
    app.router.add_get("/healthz", http.healthz)
    app.router.add_get("/readyz", http.readyz)
    app.router.add_get("/metrics", http.metrics)
    app.router.add_get("/openapi.json", http.openapi)
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
    status = 429 if error.reason in TOO_MANY_REQUESTS else STATUSES.get(error.code, 500)
    return web.json_response({"error": body}, status=status, headers=headers)


def _http_exception_response(error: web.HTTPException) -> web.Response:
    """What the HTTP library refuses, in the form of our errors."""
    codes = {
        400: (
            grpc.StatusCode.INVALID_ARGUMENT,
            "BAD_REQUEST",
            "this is a WebSocket endpoint: connect to it with ws://",
        ),
        404: (
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND",
            "there is nothing here: docs/reference/websocket.md lists the endpoints",
        ),
        405: (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", "use another method here"),
        413: (
            grpc.StatusCode.INVALID_ARGUMENT,
            "BODY_TOO_LARGE",
            f"the body exceeds {MAX_BODY_BYTES} bytes: send less",
        ),
    }
    code, reason, message = codes.get(error.status, (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", error.reason))
    response = _error_response(VoiceplaneError(code, reason, message))
    response.set_status(error.status)
    if hdrs.ALLOW in error.headers:
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response


def _speech(frame: SpeechFrame) -> bytes:
    return frame.pcm[: 2 * frame.valid_samples]


def _wav_header() -> bytes:
    rate, channels, width = 48_000, 1, 2
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * width, channels * width, 16)
    return struct.pack("<4sI4s", b"RIFF", _WAV_UNKNOWN, b"WAVE") + body + struct.pack("<4sI", b"data", _WAV_UNKNOWN)
