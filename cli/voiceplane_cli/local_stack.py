"""Runs a local stack as a child process: an orchestrator with an embedded worker.

The stack runs in its own process group, so that Ctrl-C reaches this program only, which then ends the whole group.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.orchestrator_client import OrchestratorClient
from voiceplane_cli.output import CliError, one_line

COMPONENTS = ("voiceplane_orchestrator", "voiceplane_worker")
INSTALL = "pip install 'voiceplane[demo]' (in a checkout: uv sync)"
START_DEADLINE_S = 300.0
STOP_GRACE_S = 5.0
POLL_S = 0.1
BUSY_STATES = frozenset({"fetching", "loading", "warming"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """How to start a stack.

    Attributes:
        port: Of its HTTP server, on loopback.
        model: The default model; empty for the worker's own.
        reply: How the orchestrator answers: "echo" or "llm".
        extra: Further flags for the orchestrator.
    """

    port: int
    model: str = ""
    reply: str = ""
    extra: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where the stack will be reached."""
        return f"http://127.0.0.1:{self.port}"


def command(options: StackOptions) -> list[str]:
    """The orchestrator's command line."""
    line = [
        sys.executable,
        "-m",
        "voiceplane_orchestrator",
        "--embedded-worker",
        "--listen",
        f"127.0.0.1:{options.port}",
    ]
    if options.model:
        line += ["--default-model", options.model]
    if options.reply:
        line += ["--reply", options.reply]
    return [*line, *options.extra]


def require_components(
    names: Sequence[str] = COMPONENTS, *, find: Callable[[str], object] = importlib.util.find_spec
) -> None:
    """Make sure that what is to run here is installed.

    Raises:
        CliError: A component is missing; names it and the command that installs it.
    """
    missing = [name for name in names if find(name) is None]
    if missing:
        raise CliError(f"{' and '.join(missing)} not installed here: {INSTALL}")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_port(port: int) -> None:
    """Make sure that a port is free.

    Raises:
        CliError: It is not; names one that is.
    """
    if not port_is_free(port):
        raise CliError(
            f"port {port} is in use: stop what listens there, or choose another, such as --port {free_port()}"
        )


class Child:
    """A program in a process group of its own; use as an asynchronous context manager.

    Attributes:
        log: What it writes; gone after a good end.
    """

    def __init__(self, line: Sequence[str], *, name: str) -> None:
        """Take the command line, and what messages call it."""
        self._line = line
        self._name = name
        self._process: asyncio.subprocess.Process | None = None
        self.log = Path(tempfile.gettempdir()) / f"voiceplane-{name}-{os.getpid()}.log"

    async def __aenter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._line,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self.stop()
        if kind is None or kind is asyncio.CancelledError:
            self.log.unlink(missing_ok=True)  # kept after a failure, whose message names it

    @property
    def pid(self) -> int:
        """The process id of the child, which is also its group's."""
        return self._started.pid

    async def ended(self) -> None:
        """Wait until the child ends by itself, which it should not.

        Raises:
            CliError: It has.
        """
        await self._started.wait()
        raise self._death()

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            CliError: It has ended; names its last words and its log.
        """
        if self._started.returncode is not None:
            raise self._death()

    async def stop(self) -> None:
        """End the child and everything that it has started; idempotent."""
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        self._signal(signal.SIGKILL)  # what the child leaves behind, or itself if it does not listen
        await process.wait()

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "enter it first"  # noqa: S101  # a mistake of ours, not of the user
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _death(self) -> CliError:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        last = f"; its last words: {one_line(lines[-1])[:300]}" if lines else ""
        return CliError(f"the {self._name} ended with status {self._started.returncode}{last} (log: {self.log})")


class Stack(Child):
    """A running stack."""

    def __init__(self, line: Sequence[str], *, url: str) -> None:
        """Take the command line and the address."""
        super().__init__(line, name="stack")
        self.url = url

    async def ready(self, progress: Callable[[str], None], *, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait until it serves.

        Args:
            progress: Called with its activity, whenever that changes.
            deadline_s: It has failed after this.

        Raises:
            CliError: It ended, or is not ready in time; names its last words and its log.
        """
        said = ""
        async with OrchestratorClient(self.url) as api:
            try:
                async with asyncio.timeout(deadline_s):
                    while not await self._is_ready(api):
                        now = await self._activity(api)
                        if now != said:
                            said = now
                            progress(now)
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                raise CliError(f"not ready after {deadline_s:.0f} s ({said}); its log is {self.log}") from None

    async def _is_ready(self, api: OrchestratorClient) -> bool:
        self.check()
        return await api.is_ready()

    @staticmethod
    async def _activity(api: OrchestratorClient) -> str:
        try:
            models = await api.models()
        except (CliError, VoiceplaneError):
            return "starting"
        places = [(model.model_id, model.best) for model in models]
        for model_id, place in places:
            if place.state == "failed":
                return f"{model_id} failed: {one_line(place.message or place.reason)}"
        busy = [f"{place.state} {model_id}" for model_id, place in places if place.state in BUSY_STATES]
        return ", ".join(busy) or "starting"
