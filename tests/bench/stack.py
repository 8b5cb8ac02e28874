"""The programs under test, as real processes on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import psutil
from voiceplane_client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_TIMEOUT_S = 120.0


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child process and what it has used."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self._stats = psutil.Process(child.pid)

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        times = self._stats.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(self._stats.memory_info().rss)


@contextlib.asynccontextmanager
async def python_module(*arguments: str) -> AsyncIterator[Process]:
    """Run `python -m …`; ended by SIGTERM, or by SIGKILL if it does not obey."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments)
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
async def worker(*flags: str) -> AsyncIterator[tuple[str, Process]]:
    """A worker that is ready; yields its address and its process."""
    address = f"127.0.0.1:{free_port()}"
    arguments = ("voiceplane_worker", "--listen", address, "--log-level", "warning", *flags)
    async with python_module(*arguments) as process, WorkerClient(address) as client:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await client.healthy():
            if process.child.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not become ready (exit status {process.child.returncode})")
            await asyncio.sleep(0.05)
        yield address, process
