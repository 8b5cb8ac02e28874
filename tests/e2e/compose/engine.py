"""A Docker engine of a test's own: its files in a temporary folder, its network, ports and rules in a namespace."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.e2e.cluster.binaries import binary, system_program
from tests.e2e.cluster.commands import attempt, run
from tests.e2e.cluster.daemons import Daemon
from tests.support.impaired_network import inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 600.0
COMPOSE_TIMEOUT_S = 300.0
# Not in /tmp, which may be memory, or an overlay on which no other can be mounted.
LARGE_FILES = "/var/tmp"  # noqa: S108


@dataclass(frozen=True)
class Engine:
    """A running engine.

    Attributes:
        namespace: The network namespace where published ports are.
    """

    namespace: str
    _socket: Path

    def docker(self, *arguments: str | Path) -> str:
        """Run docker; returns what it printed."""
        return run([system_program("docker"), "--host", f"unix://{self._socket}", *arguments], timeout_s=LOAD_TIMEOUT_S)

    def compose(self, *arguments: str | Path) -> str:
        """Run compose; returns what it printed."""
        command = ["env", f"DOCKER_HOST=unix://{self._socket}", binary("docker-compose"), *arguments]
        return run(command, timeout_s=COMPOSE_TIMEOUT_S)

    def inside(self, work: Callable[[], T]) -> T:
        """Do something where published ports are."""
        return inside(self.namespace, work)


@contextlib.contextmanager
def docker_engine() -> Iterator[Engine]:
    """An engine without any image; in the end nothing of it is left.

    Raises:
        RuntimeError: It can't be started; ends with its log.
    """
    namespace = f"vp-docker-{os.getpid()}"
    run(["ip", "netns", "add", namespace])
    try:
        run(["ip", "netns", "exec", namespace, "ip", "link", "set", "lo", "up"])
        with tempfile.TemporaryDirectory(prefix="voiceplane-docker-", dir=LARGE_FILES) as name:
            folder = Path(name)
            daemon = Daemon("dockerd", folder)
            socket = folder / "docker.sock"
            options = {
                "host": f"unix://{socket}",
                "data-root": folder / "data",
                "exec-root": folder / "exec",
                "pidfile": folder / "docker.pid",
                "shutdown-timeout": 5,  # the daemon has 15 s
            }
            # Not `ip netns exec`, which hides the control groups.
            command = ["nsenter", f"--net=/run/netns/{namespace}", system_program("dockerd")]
            command += [f"--{option}={value}" for option, value in options.items()]
            daemon.start(command)
            try:
                probe = [system_program("docker"), "--host", f"unix://{socket}", "info"]
                daemon.wait("answer", lambda: attempt(probe).returncode == 0, timeout_s=START_TIMEOUT_S)
                yield Engine(namespace, socket)
            finally:
                daemon.end()
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
