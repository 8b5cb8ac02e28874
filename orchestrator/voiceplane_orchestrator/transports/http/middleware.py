"""The checks before every request: host name, API key, origin and rate limit. They also turn errors into responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from aiohttp import hdrs, web
from voiceplane_common.errors import VoiceplaneError, internal
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.settings import LOOPBACK_HOSTS
from voiceplane_orchestrator.transports.auth import allowed_hosts, api_key_of, is_allowed_host, is_allowed_origin
from voiceplane_orchestrator.transports.http.errors import aiohttp_error_response, error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.settings import ServerSection
    from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore
    from voiceplane_orchestrator.transports.http.cors import CorsPolicy
    from voiceplane_orchestrator.transports.rate_limit import RateLimiter

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PUBLIC_PATHS = ("/", "/healthz", "/readyz", "/openapi.json")
"""Paths that need no key and are not rate-limited, besides the page's assets."""

_log = get_logger("http")


class RequestChecks:
    """Decides whether a request may pass."""

    def __init__(
        self, server: ServerSection, *, api_keys: ApiKeyStore, rate_limiter: RateLimiter, cors: CorsPolicy
    ) -> None:
        self._cors = cors
        self._api_keys = api_keys
        self._rate_limiter = rate_limiter
        self._allowed_origins = server.allowed_origins
        self._allowed_hosts = allowed_hosts(server.allowed_origins)
        self._is_loopback_only = api_keys.is_open and server.host in LOOPBACK_HOSTS

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, then let the handler answer it.

        Raises:
            VoiceplaneError: HOST_REFUSED, KEY_NEEDED, ORIGIN_REFUSED, RATE_LIMITED or TOO_MANY_CONNECTIONS.
        """
        is_public = request.path in PUBLIC_PATHS or request.path.startswith("/assets/")
        self._check_host(request)
        if (answer := self._cors.preflight(request)) is not None:
            return answer
        caller = self._authenticate(request, is_public=is_public)
        self._check_origin(request)
        if is_public:
            return await handler(request)
        with self._rate_limiter.enter(caller or f"anonymous at {request.remote}"):
            return await handler(request)

    def _check_host(self, request: web.Request) -> None:
        if self._is_loopback_only and not is_allowed_host(request, hosts=self._allowed_hosts):
            message = (
                f"without API keys this server accepts only requests to its own host's names, and {request.host!r} is "
                "none of them: open it as localhost, set auth.api_keys, or add this origin to server.allowed_origins"
            )
            raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "HOST_REFUSED", message)

    def _authenticate(self, request: web.Request, *, is_public: bool) -> str | None:
        """The name of the API key's owner; None if no key is needed or, on a public path, none was accepted."""
        if self._api_keys.is_open:
            return None
        caller = self._api_keys.caller_of(api_key_of(request))
        if caller is None and not is_public:
            message = "an API key is needed: send it as Authorization: Bearer KEY"
            raise VoiceplaneError(grpc.StatusCode.UNAUTHENTICATED, "KEY_NEEDED", message)
        return caller

    def _check_origin(self, request: web.Request) -> None:
        has_effects = request.method != "GET" or hdrs.UPGRADE in request.headers
        if has_effects and not is_allowed_origin(request, allowed=self._allowed_origins):
            message = "this page's origin is not allowed: add it to server.allowed_origins"
            raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "ORIGIN_REFUSED", message)


def make_middleware(checks: RequestChecks, *, metrics: Metrics) -> Middleware:
    """The middleware that runs the checks and turns each error into a response."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await checks.handle(request, handler)
        except VoiceplaneError as error:
            metrics.error_told(error.reason)
            return error_response(error)
        except web.HTTPException as error:
            return aiohttp_error_response(error)
        except Exception as error:
            _log.error("request failed", path=request.path, exc_info=error)
            metrics.error_told("INTERNAL")
            return error_response(internal())

    return middleware
