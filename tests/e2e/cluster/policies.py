"""Makes the node hold to NetworkPolicies, of which its bridge plugin knows nothing: by kube-router's firewall alone."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.e2e.cluster.api_server import SERVICE_NETWORK
from tests.e2e.cluster.binaries import binary, system_program
from tests.e2e.cluster.commands import attempt, run
from tests.e2e.cluster.daemons import Daemon
from tests.e2e.cluster.node import NODE

if TYPE_CHECKING:
    from pathlib import Path

START_TIMEOUT_S = 60.0
HOOK = "KUBE-ROUTER-FORWARD"
# What kube-router calls its own: https://github.com/cloudnativelabs/kube-router, pkg/controllers/netpol.
CHAINS = ("KUBE-ROUTER-", "KUBE-POD-FW-", "KUBE-NWPLCY-")
SETS = ("KUBE-SRC-", "KUBE-DST-")


class Policies:
    """NetworkPolicies on the node, from start() to end().

    Args:
        folder: For its pid file and log.
        kubeconfig: The administrator's.
    """

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._daemon = Daemon("kube-router", folder)

    def start(self) -> None:
        """Returns when what policies say is held to."""
        system_program("ipset")  # it is run by name
        self._daemon.start(
            [
                binary("kube-router"),
                "--run-firewall=true",
                "--run-router=false",
                "--run-service-proxy=false",
                "--run-loadbalancer=false",
                f"--kubeconfig={self._kubeconfig}",
                f"--hostname-override={NODE}",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--health-port=0",
                "--metrics-port=0",
            ]
        )
        self._daemon.wait("its rules in the kernel", _has_rules, timeout_s=START_TIMEOUT_S)

    def end(self) -> None:
        """Everybody may talk to everybody again."""
        self._daemon.end()
        _remove_rules()


def _remove_rules() -> None:
    """Remove what kube-router told the kernel. Its own clean-up wants IPVS, too, which a kernel may lack."""
    iptables = system_program("iptables")
    rules = [shlex.split(line) for line in run([iptables, "-S"]).splitlines()]
    for rule in rules:
        if rule[0] == "-A" and not rule[1].startswith(CHAINS) and rule[-1].startswith(CHAINS):
            run([iptables, "-D", *rule[1:]])
    chains = [rule[1] for rule in rules if rule[0] == "-N" and rule[1].startswith(CHAINS)]
    for flag in ("-F", "-X"):  # all are emptied first: they lead to one another
        for chain in chains:
            run([iptables, flag, chain])
    if chains:
        ipset = system_program("ipset")
        for name in run([ipset, "list", "-n"]).split():
            if name.startswith(SETS):
                run([ipset, "destroy", name])


def _has_rules() -> bool:
    return attempt([system_program("iptables"), "-S", HOOK]).returncode == 0
