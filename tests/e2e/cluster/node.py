"""The kubelet and kube-proxy: one real node, on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster.binaries import binary, system_program
from tests.e2e.cluster.commands import attempt, run
from tests.e2e.cluster.daemons import Daemon
from tests.e2e.cluster.runtime import BRIDGE, POD_GATEWAY, POD_NETWORK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cluster.api_server import ApiServer
    from tests.e2e.cluster.runtime import Runtime

NODE = "voiceplane-test"
NODE_TIMEOUT_S = 60.0
CLUSTER_DOMAIN = "cluster.local"


class Node:
    """One node of a cluster.

    Args:
        folder: Everything that the kubelet writes.
        server: The cluster that it joins.
        runtime: What runs its containers.
    """

    def __init__(self, folder: Path, server: ApiServer, runtime: Runtime) -> None:
        self.folder = folder
        self._server = server
        self._runtime = runtime
        self.kubelet = Daemon("kubelet", server.folder / "run")
        self.proxy = Daemon("kube-proxy", server.folder / "run")

    def start(self, *, dns: str | None) -> None:
        """Start the kubelet and kube-proxy.

        Args:
            dns: The address of the cluster's DNS server.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kubelet.start(
            [
                binary("kubelet"),
                f"--config={self._write('kubelet.yaml', self._kubelet_configuration(dns))}",
                f"--kubeconfig={self._kubeconfig('kubelet', user=f'system:node:{NODE}', group='system:nodes')}",
                f"--root-dir={self.folder / 'kubelet'}",
                f"--cert-dir={self.folder / 'kubelet' / 'pki'}",
                f"--hostname-override={NODE}",
                f"--node-ip={POD_GATEWAY}",
            ]
        )
        configuration = {
            "kind": "KubeProxyConfiguration",
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(self._kubeconfig("kube-proxy", user="system:kube-proxy"))},
            "clusterCIDR": POD_NETWORK,
            "hostnameOverride": NODE,
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        path = self._write("kube-proxy.yaml", configuration)
        self.proxy.start([binary("kube-proxy"), f"--config={path}"])

    def wait(self) -> None:
        """Wait until the node is Ready."""
        kubectl: list[str | Path] = [binary("kubectl"), "--kubeconfig", self._server.kubeconfig]
        self.kubelet.wait(
            "node", lambda: attempt([*kubectl, "get", f"node/{NODE}"]).returncode == 0, timeout_s=NODE_TIMEOUT_S
        )
        run([*kubectl, "wait", "--for=condition=Ready", f"--timeout={NODE_TIMEOUT_S:.0f}s", f"node/{NODE}"])

    def _kubelet_configuration(self, dns: str | None) -> dict[str, Any]:
        return {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._server.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self._runtime.socket}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "oomScoreAdj": 0,
            "clusterDomain": CLUSTER_DOMAIN,
            "clusterDNS": [dns] if dns else [],
            "podLogsDir": str(self.folder / "logs"),
            "volumePluginDir": str(self.folder / "plugins"),
            # The images were imported manually: one that is collected can't be pulled again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi"},
            # Pods become ready as soon as they are, and the tests measure it.
            "syncFrequency": "10s",
            # Its firewall lets no address of this machine speak to loopback first: other tests' WebRTC does just that.
            "makeIPTablesUtilChains": False,
            "maxPods": 110,
        }

    def _kubeconfig(self, name: str, *, user: str, group: str = "") -> Path:
        identity = self._server.authority.issue(name, user=user, group=group)
        return self._server.kubeconfig_for(name, identity)

    def _write(self, name: str, configuration: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(configuration, indent=2))  # JSON is YAML
        return path


def make_bridge() -> None:
    """Make the pods' bridge before the first pod does: the API server is advertised on its address."""
    ip = system_program("ip")
    if attempt([ip, "link", "show", BRIDGE]).returncode == 0:
        return
    run([ip, "link", "add", BRIDGE, "type", "bridge"])
    run([ip, "address", "add", f"{POD_GATEWAY}/{POD_NETWORK.rpartition('/')[2]}", "dev", BRIDGE])
    run([ip, "link", "set", BRIDGE, "up"])


def remove_bridge() -> None:
    """Remove the pods' bridge."""
    attempt([system_program("ip"), "link", "delete", BRIDGE])
