"""An embedded worker: the orchestrator starts it as a child process, and restarts it when it exits."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.discovery.static import StaticDiscovery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MIN_RESTART_DELAY_S = 0.2
MAX_RESTART_DELAY_S = 10.0
# After this time a worker counts as healthy: its next exit restarts it with the shortest delay.
HEALTHY_AFTER_S = 30.0
STOP_TIMEOUT_S = 10.0

_log = get_logger("embedded")


class EmbeddedDiscovery:
    """Supervises one worker and publishes its address: a Unix socket that only the same user can reach.

    Attributes:
        pid: The worker's process id; None while there is none.
    """

    def __init__(self, worker_args: Sequence[str]) -> None:
        """Prepare; the worker starts when the addresses are watched for the first time.

        Args:
            worker_args: Additional flags of `python -m voiceplane_worker`.
        """
        self.pid: int | None = None
        self._args = tuple(worker_args)
        self._folder = tempfile.TemporaryDirectory(prefix="voiceplane-")
        self._address = f"unix:{Path(self._folder.name) / 'worker.sock'}"
        self._discovery = StaticDiscovery([self._address])
        self._supervisor: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See Discovery; the worker starts when it is first watched."""

    async def demand(self, model_id: str) -> bool:
        """See Discovery; the worker always runs."""
        return False

    async def watch(self) -> AsyncIterator[dict[str, bool]]:
        """See Discovery."""
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise())
        async for addresses in self._discovery.watch():
            yield addresses

    async def aclose(self) -> None:
        """Stop the worker with SIGTERM, and with SIGKILL if it does not exit in time."""
        await self._discovery.aclose()
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        self._folder.cleanup()

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = MIN_RESTART_DELAY_S
        while True:
            began = loop.time()
            status = await self._run()
            if loop.time() - began > HEALTHY_AFTER_S:
                pause_s = MIN_RESTART_DELAY_S
            _log.warning("worker_died", status=status, restart_in_ms=round(pause_s * 1000))
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_RESTART_DELAY_S, pause_s * 2)

    async def _run(self) -> int:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "voiceplane_worker",
            "--listen",
            self._address,
            *self._args,
            stdin=asyncio.subprocess.DEVNULL,
        )
        self.pid = child.pid
        try:
            return await child.wait()
        finally:
            self.pid = None
            if child.returncode is None:
                await _stop(child)


async def _stop(child: asyncio.subprocess.Process) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await child.wait()
