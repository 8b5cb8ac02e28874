"""What a request says of its caller: its key, its page's origin, and the name that it calls us by."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voiceplane_orchestrator.settings import LOOPBACK_HOSTS
from voiceplane_orchestrator.transports.websocket.protocol import KEY_SUBPROTOCOL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiohttp import web


def is_allowed_origin(request: web.Request, *, allowed: Iterable[str]) -> bool:
    """Whether a browser's request comes from our own page or from an allowed origin; others send no Origin."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return netloc == request.host or origin in set(allowed)


def allowed_hosts(allowed: Iterable[str]) -> frozenset[str]:
    """The host names by which a server of this machine alone may be called: its own, and those of allowed origins."""
    return LOOPBACK_HOSTS | {name for origin in allowed if (name := urlsplit(origin).hostname)}


def is_allowed_host(request: web.Request, *, names: Collection[str]) -> bool:
    """Whether a request names one of these hosts.

    A page of another site can make its own name mean 127.0.0.1 (DNS rebinding), and is then of our origin to a browser;
    but its requests name that site.
    """
    try:
        return urlsplit(f"//{request.host}").hostname in names
    except ValueError:
        return False


def api_key_of(request: web.Request) -> str:
    """The key that a request carries, as a bearer token or in a WebSocket's subprotocol; empty for none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if protocol.strip().startswith(KEY_SUBPROTOCOL):
            encoded = protocol.strip().removeprefix(KEY_SUBPROTOCOL)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError:
                return ""
    return ""
