"""The socket's send buffer, kept small so that a slow client is detected early."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

UNSENT_BYTES = 16 * 1024


def limit_unsent_bytes(request: web.BaseRequest) -> None:
    """Bound the unsent bytes in the kernel, so that writing to a client that does not read blocks early."""
    raw = None if request.transport is None else request.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
