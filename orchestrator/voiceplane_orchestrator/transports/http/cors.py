"""Cross-origin resource sharing (CORS): pages of the allowed origins may read our answers.

The protocol is that of the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol. Without configured
origins no header is sent. Credentials are never allowed: a key is sent in a header, and no cookie means anything here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY_ORIGIN = "*"
METHODS = "GET, POST, OPTIONS"
MAX_AGE_S = 600
EXPOSED_HEADERS = ", ".join(
    [
        hdrs.RETRY_AFTER,
        "Voiceplane-Channels",
        "Voiceplane-Fallback",
        "Voiceplane-Ignored",
        "Voiceplane-Model",
        "Voiceplane-Sample-Rate",
        "Voiceplane-Voice",
    ]
)
PRIVATE_NETWORK = "Access-Control-Request-Private-Network"
ALLOW_PRIVATE_NETWORK = "Access-Control-Allow-Private-Network"


class CorsPolicy:
    """Which origins may read answers."""

    def __init__(self, allowed_origins: Iterable[str]) -> None:
        self._origins = frozenset(allowed_origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a preflight request of an allowed origin; None for other requests.

        A preflight carries no key, and it has no effect.
        """
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method != hdrs.METH_OPTIONS or asked is None or not self._allows(request):
            return None
        headers: dict[str, str] = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_S),
        }
        if wanted := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS):
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
        if request.headers.get(PRIVATE_NETWORK) == "true":
            headers[ALLOW_PRIVATE_NETWORK] = "true"
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Allow the origin to read a response; a signal of aiohttp calls it before the headers are sent."""
        if not self._origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if self._allows(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS

    def _allows(self, request: web.Request) -> bool:
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is not None and (origin in self._origins or ANY_ORIGIN in self._origins)
