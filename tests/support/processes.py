"""The programs under test, as real processes on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import psutil
from voiceplane_client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

START_TIMEOUT_S = 120.0
# Above what servers have as their own, below what Kubernetes gives to Services and systems to connections that go out.
PORTS = range(20_000, 30_000)
POLL_S = 0.02

_given: set[int] = set()


def free_port() -> int:
    """A port of loopback that is free now, and stays so: no connection that goes out is given it meanwhile."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


class Process:
    """A child process and what it has used."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self._stats = psutil.Process(child.pid)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.child.kill()
        await self.child.wait()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.child.returncode is None

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        times = self._stats.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(self._stats.memory_info().rss)

    def open_files(self) -> int:
        """Open file descriptors."""
        return int(self._stats.num_fds())


@contextlib.asynccontextmanager
async def python_module(
    *arguments: str, log: Path | None = None, python: str = sys.executable
) -> AsyncIterator[Process]:
    """Run `python -m …`; ended by SIGTERM, or by SIGKILL if it does not obey.

    Args:
        arguments: The module and its flags.
        log: A file that its output is added to; none for our own output.
        python: The interpreter.
    """
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("ab")) if log else None
        # A group of its own: Ctrl-C in a terminal is for us, who end it in order.
        child = await asyncio.create_subprocess_exec(
            python, "-m", *arguments, stdout=output, stderr=output, process_group=0
        )
    try:
        yield Process(child)
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), 15)
            except TimeoutError:
                child.kill()
                await child.wait()


@contextlib.asynccontextmanager
async def worker(
    *flags: str,
    address: str = "",
    through: Sequence[str] = (),
    log: Path | None = None,
    python: str = sys.executable,
) -> AsyncIterator[tuple[str, Process]]:
    """A worker that is ready; yields its address, a free one if none is given, and its process.

    Args:
        flags: Of the worker.
        address: Where it is to listen.
        through: A module that runs it, with that module's flags; none: it runs itself.
        log: A file for what it writes; None for where ours goes.
        python: The interpreter.
    """
    address = address or f"127.0.0.1:{free_port()}"
    arguments = (*through, "voiceplane_worker", "--listen", address, "--log-level", "warning", *flags)
    async with python_module(*arguments, log=log, python=python) as process:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await _serving(address):
            if process.child.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not become ready (exit status {process.child.returncode})")
            await asyncio.sleep(POLL_S)
        yield address, process


async def _serving(address: str) -> bool:
    """Whether a worker says SERVING; over a connection of its own, so that no backoff hides the moment."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    async with WorkerClient(address) as client:
        return await client.healthy()


@contextlib.asynccontextmanager
async def orchestrator(
    *flags: str, through: Sequence[str] = (), log: Path | None = None
) -> AsyncIterator[tuple[str, Process]]:
    """An orchestrator that can serve a session; yields its URL and its process. See worker for the rest."""
    listen = f"127.0.0.1:{free_port()}"
    url = f"http://{listen}"
    arguments = (*through, "voiceplane_orchestrator", "--listen", listen, "--log-level", "warning", *flags)
    async with python_module(*arguments, log=log) as process, aiohttp.ClientSession() as http:
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
