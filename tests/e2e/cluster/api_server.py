"""etcd, kube-apiserver and the controllers: what a cluster is before it has a node."""

from __future__ import annotations

import platform
import ssl
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.cluster.binaries import binary, system_program
from tests.e2e.cluster.certificates import Authority, Identity
from tests.e2e.cluster.daemons import Daemon

if TYPE_CHECKING:
    from pathlib import Path

START_TIMEOUT_S = 90.0
REQUEST_TIMEOUT_S = 5.0
ISSUER = "https://kubernetes.default.svc"
SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"  # of the API server itself: the first of the network


@dataclass(frozen=True)
class Address:
    """Where the API server and etcd listen.

    Attributes:
        api_port: Of kube-apiserver.
        etcd_port: Of etcd's clients.
        peer_port: Of etcd's peers; it has none, but listens.
        advertise: What the `kubernetes` Service leads to; must not be on loopback. None makes no such endpoint.
    """

    api_port: int
    etcd_port: int
    peer_port: int
    advertise: str | None = None


class ApiServer:
    """etcd and kube-apiserver, and the two controllers that it can do without.

    Args:
        folder: Certificates, data, logs and pid files.
        address: Where to listen.
    """

    def __init__(self, folder: Path, address: Address) -> None:
        self.folder = folder
        self.address = address
        self.host = address.advertise or "127.0.0.1"
        self.url = f"https://{self.host}:{address.api_port}"
        self.authority = Authority(folder / "pki")
        self.admin = self.authority.issue("admin", user="admin", group="system:masters")
        self.kubeconfig = self.kubeconfig_for("admin", self.admin)
        self.etcd = Daemon("etcd", folder / "run")
        self.api = Daemon("kube-apiserver", folder / "run")
        self.controllers = Daemon("kube-controller-manager", folder / "run")
        self.scheduler = Daemon("kube-scheduler", folder / "run")

    def kubeconfig_for(self, name: str, identity: Identity) -> Path:
        """Write the kubeconfig of one identity."""
        return self.authority.kubeconfig(self.folder / f"{name}.kubeconfig", server=self.url, identity=identity)

    def start(self) -> None:
        """Start etcd and the API server; returns when requests are answered."""
        self.start_etcd()
        self.start_api()

    def start_etcd(self) -> None:
        """Start etcd, with the data that is there."""
        client = f"http://127.0.0.1:{self.address.etcd_port}"
        peer = f"http://127.0.0.1:{self.address.peer_port}"
        self.etcd.start(
            [
                system_program("etcd"),
                *("--name", "test", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"test={peer}", "--logger", "zap", "--log-level", "warn"),
            ],
            environment={"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else None,
        )

    def start_api(self) -> None:
        """Start the API server; returns when requests are answered."""
        host = self.address.advertise
        names = [f"DNS:kubernetes{suffix}" for suffix in ("", ".default", ".default.svc")]
        addresses = {"127.0.0.1", SERVICE_ADDRESS, self.host}
        serving = self.authority.issue(
            "kube-apiserver", user="kube-apiserver", addresses=[*names, *(f"IP:{one}" for one in sorted(addresses))]
        )
        kubelet_client = self.authority.issue("kubelet-client", user="kube-apiserver-client", group="system:masters")
        tokens = self.authority.signing_key("service-accounts")
        ca = self.authority.certificate
        self.api.start(
            [
                binary("kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{self.address.etcd_port}",
                f"--secure-port={self.address.api_port}",
                f"--bind-address={'0.0.0.0' if host else '127.0.0.1'}",  # noqa: S104 - pods come by the bridge
                # An address on loopback is refused even where nothing is advertised.
                f"--advertise-address={host or '198.51.100.1'}",
                *([] if host else ["--endpoint-reconciler-type=none"]),
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--client-ca-file={ca}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--kubelet-client-certificate={kubelet_client.certificate}",
                f"--kubelet-client-key={kubelet_client.key}",
                f"--service-account-key-file={tokens}",
                f"--service-account-signing-key-file={tokens}",
                f"--service-account-issuer={ISSUER}",
                "--profiling=false",
            ]
        )
        self.api.wait("answer", self.ready, timeout_s=START_TIMEOUT_S)

    def start_controllers(self) -> None:
        """Start what makes pods of Deployments, tokens, endpoints, and collects garbage."""
        user = "system:kube-controller-manager"
        kubeconfig = self.kubeconfig_for("controllers", self.authority.issue("controllers", user=user))
        self.controllers.start(
            [
                binary("kube-controller-manager"),
                f"--kubeconfig={kubeconfig}",
                f"--root-ca-file={self.authority.certificate}",
                f"--service-account-private-key-file={self.authority.signing_key('service-accounts')}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--secure-port=0",
                # A node that went away is noticed in seconds, as the tests of faults want it.
                "--node-monitor-period=2s",
                "--node-monitor-grace-period=20s",
            ]
        )

    def start_scheduler(self) -> None:
        """Start what places pods on nodes."""
        kubeconfig = self.kubeconfig_for("scheduler", self.authority.issue("scheduler", user="system:kube-scheduler"))
        self.scheduler.start(
            [binary("kube-scheduler"), f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        )

    def ready(self) -> bool:
        """Whether requests are answered now."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, *, kill: bool = False) -> None:
        """End all of it.

        Args:
            kill: Give no time to tidy up; right where the data is thrown away.
        """
        for daemon in (self.scheduler, self.controllers, self.api, self.etcd):
            daemon.end(kill=kill)
