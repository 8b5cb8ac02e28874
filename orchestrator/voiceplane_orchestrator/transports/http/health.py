"""Health, readiness, metrics, and which transports a client may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client
from aiohttp import hdrs, web

if TYPE_CHECKING:
    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission


class HealthEndpoints:
    """Serves /healthz, /readyz, /metrics and /v1/transports."""

    def __init__(self, *, factory: SessionFactory, router: Router, admission: SessionAdmission) -> None:
        self._factory = factory
        self._router = router
        self._admission = admission

    async def healthz(self, _request: web.Request) -> web.Response:
        """GET /healthz: the process runs."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """GET /readyz: whether a session could begin now."""
        if self._admission.finishing.is_set():
            return web.json_response({"status": "draining", "reason": "the server is shutting down"}, status=503)
        if self._router.ready:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "no_worker", "reason": "no worker is ready"}, status=503)

    async def transports(self, _request: web.Request) -> web.Response:
        """GET /v1/transports: the transports that this server offers."""
        settings = self._factory.settings
        webrtc = settings.transport.webrtc and bool(settings.livekit.url)
        return web.json_response({"webrtc": webrtc, "websocket": settings.transport.ws_fallback})

    async def metrics(self, _request: web.Request) -> web.Response:
        """GET /metrics, in the Prometheus exposition format."""
        body = prometheus_client.generate_latest(self._factory.metrics.registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: prometheus_client.CONTENT_TYPE_LATEST})
