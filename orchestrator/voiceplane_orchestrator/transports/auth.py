"""Authentication of requests: the API key, the page's origin, and the host name that the request was sent to."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voiceplane_orchestrator.settings import LOOPBACK_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiohttp import web

API_KEY_SUBPROTOCOL = "voiceplane.key."
"""Prefix of the subprotocol that carries the key in base64url: a browser cannot set headers of a WebSocket."""


def is_allowed_origin(request: web.Request, *, allowed: Iterable[str]) -> bool:
    """Whether a browser's request comes from our own page or from an allowed origin.

    Clients that are not browsers send no Origin header; they are allowed.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return netloc == request.host or not {origin, "*"}.isdisjoint(allowed)


def allowed_hosts(allowed_origins: Iterable[str]) -> frozenset[str]:
    """The host names that a server on loopback accepts: the loopback names, and those of the allowed origins."""
    return LOOPBACK_HOSTS | {name for origin in allowed_origins if (name := urlsplit(origin).hostname)}


def is_allowed_host(request: web.Request, *, hosts: Collection[str]) -> bool:
    """Whether a request was sent to one of these host names.

    This stops DNS rebinding: another site's page can point its own name at 127.0.0.1, and the browser then takes us for
    the page's origin. Its requests still name that site's host.
    """
    try:
        return urlsplit(f"//{request.host}").hostname in hosts
    except ValueError:
        return False


def api_key_of(request: web.Request) -> str:
    """The key that a request carries, as a bearer token or as a WebSocket subprotocol; empty if there is none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if protocol.strip().startswith(API_KEY_SUBPROTOCOL):
            encoded = protocol.strip().removeprefix(API_KEY_SUBPROTOCOL)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError:
                return ""
    return ""
