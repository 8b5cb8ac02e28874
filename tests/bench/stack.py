"""The programs under test, as real processes on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import aiohttp

from tests.support.processes import POLL_S, START_TIMEOUT_S, Process, free_port, python_module, worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Process", "orchestrator", "worker"]


@contextlib.asynccontextmanager
async def orchestrator(*flags: str) -> AsyncIterator[tuple[str, Process]]:
    """An orchestrator that can serve a session; yields its URL and its process."""
    listen = f"127.0.0.1:{free_port()}"
    url = f"http://{listen}"
    arguments = ("voiceplane_orchestrator", "--listen", listen, "--log-level", "warning", *flags)
    async with python_module(*arguments) as process, aiohttp.ClientSession() as http:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await _ready(http, url):
            if process.child.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the orchestrator did not become ready (exit status {process.child.returncode})")
            await asyncio.sleep(POLL_S)
        yield url, process


async def _ready(http: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with http.get(f"{url}/readyz") as response:
            return response.status == 200
    return False
