"""CoreDNS beside the node: it listens on the bridge, and pods ask it by that address."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from tests.e2e.cluster.binaries import binary
from tests.e2e.cluster.daemons import Daemon
from tests.e2e.cluster.node import CLUSTER_DOMAIN
from tests.e2e.cluster.runtime import POD_GATEWAY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cluster.api_server import ApiServer

HEALTH_PORT = 18053
START_TIMEOUT_S = 30.0


class Dns:
    """The names of Services.

    Args:
        folder: Its configuration, log and pid file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemon = Daemon("coredns", folder / "run")

    def start(self, server: ApiServer) -> None:
        """Start it; what it does not know it asks the machine's own DNS servers."""
        # Like the kubelet, it is of the machine and not of what is tested, so it may read everything.
        identity = server.authority.issue("coredns", user="coredns", group="system:masters")
        kubeconfig = server.kubeconfig_for("coredns", identity)
        corefile = self._folder / "Corefile"
        corefile.write_text(
            f"""
.:53 {{
    bind {POD_GATEWAY}
    errors
    ready 127.0.0.1:{HEALTH_PORT}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        fallthrough in-addr.arpa ip6.arpa
        ttl 1
    }}
    forward . /etc/resolv.conf
    cache 5
}}
"""
        )
        self._daemon.start([binary("coredns"), "-conf", corefile])
        self._daemon.wait("answer", _ready, timeout_s=START_TIMEOUT_S)


def _ready() -> bool:
    """Whether it knows the cluster's names by now."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{HEALTH_PORT}/ready", timeout=START_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
