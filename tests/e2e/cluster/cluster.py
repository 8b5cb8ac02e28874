"""The cluster: a control plane and one node, as processes of this machine that outlive the command."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from tests.e2e.cluster import kernel
from tests.e2e.cluster.api_server import Address, ApiServer
from tests.e2e.cluster.binaries import MODULE, binary, build_all
from tests.e2e.cluster.commands import run
from tests.e2e.cluster.daemons import Daemon
from tests.e2e.cluster.dns import Dns
from tests.e2e.cluster.node import Node, make_bridge, remove_bridge
from tests.e2e.cluster.policies import Policies
from tests.e2e.cluster.runtime import POD_GATEWAY, Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_TIMEOUT_S = 1800.0
NAMESPACE_TIMEOUT_S = 30.0
SAVE_TIMEOUT_S = 600.0
INSTALL_TIMEOUT_S = 900.0
ADDRESS = Address(api_port=17443, etcd_port=12379, peer_port=12380, advertise=POD_GATEWAY)


def state_folder() -> Path:
    """Where the cluster's data, certificates and logs are."""
    return platformdirs.user_state_path("voiceplane") / "cluster"


class Cluster:
    """The cluster of this machine; there is one.

    Args:
        folder: Its state.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or state_folder()
        self._control = self.folder / "control"
        self.kubeconfig = self._control / "admin.kubeconfig"
        self.runtime = Runtime(self.folder / "containerd", self._control / "run")

    def up(self) -> Path:
        """Start what does not run; returns when the node is Ready.

        Returns:
            The administrator's kubeconfig.
        """
        if os.geteuid():
            raise RuntimeError("a node mounts, and makes network namespaces: run it as root, or use kind")
        run([MODULE / "system-packages.sh"], timeout_s=INSTALL_TIMEOUT_S)
        build_all()
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=LOCK_TIMEOUT_S):
            if not Daemon("etcd", self._control / "run").running():
                self._clear()  # a machine that was switched off left a cluster that no longer is
            self._start()
        return self.kubeconfig

    def down(self, *, purge: bool = False) -> None:
        """End it, and put the machine back as it was.

        Args:
            purge: Forget the images too.
        """
        if not self.folder.exists():
            return
        with FileLock(self.folder / ".lock", timeout=LOCK_TIMEOUT_S):
            self._clear()
            if purge:
                shutil.rmtree(self.runtime.folder, ignore_errors=True)

    def restart_api(self) -> None:
        """Kill the API server and start it again; what etcd holds stays."""
        server = ApiServer(self._control, ADDRESS)
        server.api.end(kill=True)
        server.start_api()

    def policies(self) -> Policies:
        """What makes it hold to NetworkPolicies, to be started."""
        return Policies(self._control / "run", self.kubeconfig)

    def status(self) -> dict[str, bool]:
        """Whether each program runs."""
        names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        names += ["containerd", "coredns", "kubelet", "kube-proxy"]
        return {name: Daemon(name, self._control / "run").running() for name in names}

    def load(self, images: Sequence[str]) -> None:
        """Take in images: archives, or names that docker has."""
        with tempfile.TemporaryDirectory() as folder:
            for image in images:
                archive = Path(image)
                if archive.is_file():
                    self.runtime.import_once(archive)
                else:
                    archive = Path(folder) / "image.tar"
                    run(["docker", "save", "--output", archive, image], timeout_s=SAVE_TIMEOUT_S)
                    self.runtime.import_image(archive)

    def _start(self) -> None:
        kernel.set_switches(self.folder / "switches.json")
        make_bridge()
        server = ApiServer(self._control, ADDRESS)
        node = Node(self.folder / "node", server, self.runtime)
        dns = Dns(self._control)
        server.start_etcd()
        self.runtime.start()
        server.start_api()
        server.start_controllers()
        server.start_scheduler()
        dns.start(server)
        node.start(dns=POD_GATEWAY)
        node.wait()
        wait = ["wait", "--for=create", f"--timeout={NAMESPACE_TIMEOUT_S:.0f}s", "serviceaccount/default"]
        run([binary("kubectl"), "--kubeconfig", self.kubeconfig, *wait])

    def _clear(self) -> None:
        run_folder = self._control / "run"
        kubelet = Daemon("kubelet", run_folder)
        kubelet.end()  # first: it would start again what ends
        self.policies().end()
        if self.runtime.daemon.running():
            self.runtime.remove_containers()
        for name, running in self.status().items():
            if running and name not in {"kubelet", "containerd"}:
                Daemon(name, run_folder).end(kill=True)  # their data goes too
        self.runtime.end()
        kernel.remove_proxy_rules()
        remove_bridge()
        kernel.unmount_below(self.folder)
        kernel.remove_pod_cgroups()
        kernel.remove_log_links(self.folder / "node" / "logs")
        kernel.restore_switches(self.folder / "switches.json")
        for folder in (self._control, self.folder / "node", self.runtime.folder / "state"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.runtime.folder / "addresses", ignore_errors=True)
