"""Hosts on a network that a test makes: a namespace for each, and one that is the switch between them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NETWORK = "10.213.78"


class Lan:
    """A switch with a cable to each host. Nothing but these hosts can be reached over it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._switch = f"vp-switch-{os.getpid()}"

    def namespace(self, name: str) -> str:
        """The namespace that is a host."""
        return f"vp-{name}-{os.getpid()}"

    def address(self, name: str) -> str:
        """Its address."""
        return f"{NETWORK}.{1 + self._names.index(name)}"

    def cut(self, name: str) -> None:
        """Pull a host's cable out: both ends hear silence."""
        _ip("-n", self._switch, "link", "set", f"port-{name}", "down")

    def rejoin(self, name: str) -> None:
        """Plug it in again."""
        _ip("-n", self._switch, "link", "set", f"port-{name}", "up")

    def build(self) -> None:
        """Make the switch and the hosts."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for name in self._names:
            host = self.namespace(name)
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
            _ip("-n", host, "link", "add", "lan", "type", "veth", "peer", "name", f"port-{name}", "netns", self._switch)
            _ip("-n", host, "address", "add", f"{self.address(name)}/24", "dev", "lan")
            _ip("-n", host, "link", "set", "lan", "up")
            _ip("-n", self._switch, "link", "set", f"port-{name}", "master", "switch", "up")

    def remove(self) -> None:
        """Take away what there is of it."""
        for namespace in (*map(self.namespace, self._names), self._switch):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def lan(*names: str) -> Iterator[Lan]:
    """Hosts of these names, with at most ten letters each.

    Raises:
        subprocess.CalledProcessError: The machine does not allow namespaces or bridges.
    """
    network = Lan(names)
    try:
        network.build()
        yield network
    finally:
        network.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
