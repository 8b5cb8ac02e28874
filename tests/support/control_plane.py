"""A Kubernetes API server of a test's own, on loopback: for what needs real CRDs, RBAC and dry runs, but no node."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.e2e.cluster.api_server import Address, ApiServer
from tests.e2e.cluster.binaries import binary
from tests.support.processes import free_port

if TYPE_CHECKING:
    from types import TracebackType

KUBECTL_TIMEOUT_S = 60.0
CRDS = Path(__file__).parents[2] / "crds"


class ControlPlane:
    """etcd and kube-apiserver in a temporary folder; a context manager.

    Args:
        controllers: Whether the controller manager runs too: it makes ServiceAccounts of namespaces, ReplicaSets and
            pods of Deployments, ends namespaces and collects garbage. No pod ever runs: there is no node.

    Attributes:
        kubeconfig: An administrator's; set once started.
        url: Of the API server.
    """

    def __init__(self, *, controllers: bool = False) -> None:
        self._controllers = controllers
        self._folder = Path(tempfile.mkdtemp(prefix="voiceplane-control-plane-"))
        ports = Address(api_port=free_port(), etcd_port=free_port(), peer_port=free_port())
        self.server = ApiServer(self._folder, ports)
        self.kubeconfig = self.server.kubeconfig
        self.url = self.server.url

    def __enter__(self) -> Self:
        try:
            self.server.start()
            if self._controllers:
                self.server.start_controllers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it, and remove its folder."""
        self.server.end(kill=True)
        shutil.rmtree(self._folder)

    def define(self) -> None:
        """Apply our CustomResourceDefinitions, and wait until the server has them."""
        self.kubectl("apply", "--server-side", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))

    def restart_api(self) -> None:
        """Kill the API server and start it again; what etcd holds stays."""
        self.server.api.end(kill=True)
        self.server.start_api()

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; the caller looks at the exit status."""
        return subprocess.run(
            [binary("kubectl"), "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT_S,
            check=False,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator.

        Returns:
            What it printed.

        Raises:
            RuntimeError: It failed; with what it said.
        """
        result = self.try_kubectl(*arguments, stdin=stdin)
        if result.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def token(self, service_account: str, *, namespace: str = "default") -> str:
        """A token of a ServiceAccount, as its pod would have it."""
        return self.kubectl("create", "token", service_account, "--namespace", namespace).strip()

    def kubeconfig_of(self, service_account: str, *, namespace: str = "default") -> Path:
        """Write the kubeconfig of a ServiceAccount, so that a program runs under its RBAC and no other."""
        path = self._folder / f"{namespace}-{service_account}.kubeconfig"
        token = self.token(service_account, namespace=namespace)
        return self.server.authority.kubeconfig(path, server=self.url, identity=token)
