"""GET /healthz and /readyz: whether the operator's watches still get news from the API server."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceplane_common.kube.informer import Informer


class Health:
    """Checks when each informer last got an answer from the API server."""

    def __init__(self, informers: Sequence[Informer], *, stale_s: float) -> None:
        self._informers = informers
        self._stale_s = stale_s
        self._runner: web.AppRunner | None = None

    def problem(self) -> str:
        """What is wrong; empty if all is well."""
        now = asyncio.get_running_loop().time()
        for informer in self._informers:
            if not informer.synced.is_set():
                return f"the first list of {informer.kind} has not arrived yet"
            if now - informer.contact > self._stale_s:
                return f"the watch of {informer.kind} got no answer for {now - informer.contact:.0f} s"
        return ""

    async def serve(self, port: int) -> int:
        """Listen on a port of all addresses, and return it; for 0 the system chooses one."""
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        # One socket for both families: with two of them, the system would choose two ports.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        listening = socket.create_server(("", port), family=family, dualstack_ipv6=both)
        await web.SockSite(self._runner, listening).start()
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _ready(self, _: web.Request) -> web.Response:
        problem = self.problem()
        return web.Response(text=problem or "ok", status=503 if problem else 200)

    async def _alive(self, _: web.Request) -> web.Response:
        # Before the first list it is alive: a restart would not make an unreachable API server answer sooner.
        synced = all(informer.synced.is_set() for informer in self._informers)
        problem = self.problem() if synced else ""
        return web.Response(text=problem or "ok", status=503 if problem else 200)
