"""A real Redis server on an address of a test's own; it can be killed, and started again without its data."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from tests.support.processes import free_port

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

START_TIMEOUT_S = 20.0
POLL_S = 0.01


class RedisServer:
    """A server that keeps nothing on disk. Use as an asynchronous context manager.

    Attributes:
        host: Its address.
        port: Its port; the same one after another start.
        log: Its file.
    """

    LINES: ClassVar[tuple[str, ...]] = ('save ""', "appendonly no", "repl-diskless-sync-delay 0")
    ARGUMENTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, lines: tuple[str, ...] = ()) -> None:
        """Prepare.

        Args:
            folder: For its files.
            host: To listen on.
            port: Likewise; 0 for a free one.
            lines: More of its configuration.
        """
        self.host = host
        self.port = port or free_port()
        self.log = folder / f"{self.port}.log"
        self._file = folder / f"{self.port}.conf"
        base = (f"bind {host}", f"port {self.port}", f"dir {folder}")
        self._file.write_text("\n".join((*base, *self.LINES, *lines)) + "\n")
        self._child: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """For settings."""
        return f"redis://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it, empty; returns when it takes connections.

        Raises:
            RuntimeError: It does not; ends with its log.
        """
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("there is no redis-server: `just setup` installs it")
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                program, str(self._file), *self.ARGUMENTS, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._takes_connections():
            if self._child.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis has not started: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """SIGKILL: what it held is lost."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()

    def signal(self, number: signal.Signals) -> None:
        """Stop or continue it."""
        if self._child is not None:
            self._child.send_signal(number)

    async def ask(self, *words: str | int) -> str:
        """Run a command; returns the answer as redis-cli prints it."""
        child = await asyncio.create_subprocess_exec(
            "redis-cli",
            "-h",
            self.host,
            "-p",
            str(self.port),
            "--raw",
            "-e",
            *map(str, words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        if child.returncode:
            raise RuntimeError(err.decode())
        return out.decode().rstrip("\n")

    def _takes_connections(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return True
        return False


class Sentinel(RedisServer):
    """A Sentinel that watches one primary, and decides alone."""

    LINES = ()
    ARGUMENTS = ("--sentinel",)

    def __init__(self, folder: Path, *, primary: RedisServer, service: str, down_after_ms: int = 500) -> None:
        """Prepare.

        Args:
            folder: For its files.
            primary: What it watches.
            service: What it calls it.
            down_after_ms: When it gives a silent primary up.
        """
        lines = (
            f"sentinel monitor {service} {primary.host} {primary.port} 1",
            f"sentinel down-after-milliseconds {service} {down_after_ms}",
            f"sentinel failover-timeout {service} 3000",
        )
        super().__init__(folder, lines=lines)


@contextlib.asynccontextmanager
async def redis_server(*, host: str = "127.0.0.1", lines: tuple[str, ...] = ()) -> AsyncIterator[RedisServer]:
    """A server with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with RedisServer(Path(folder), host=host, lines=lines) as server:
            yield server
