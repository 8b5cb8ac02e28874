"""The programs that tests run, built from the Go modules that go.mod pins, once for each set of versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
from filelock import FileLock

MODULE = Path(__file__).parent
BUILD_TIMEOUT_S = 3600.0

PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "runc": "github.com/opencontainers/runc",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "pause": "./pause",
    "coredns": "github.com/coredns/coredns",
    "livekit-server": "github.com/livekit/livekit-server/cmd/server",
    "docker-compose": "github.com/docker/compose/v2/cmd",
    "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
}
# Modules of their own: their choice of versions is not Kubernetes'.
MODULES = {
    "coredns": MODULE / "coredns",
    "livekit-server": MODULE.parent / "livekit",
    "docker-compose": MODULE.parent / "compose",
    "kube-router": MODULE.parent / "netpol",
}
# No parts of a cluster: another version of one is no other set of the rest.
APART = frozenset({"livekit-server", "docker-compose", "kube-router"})
# Seccomp is libseccomp, which is C. Everything else is static.
WITH_C = frozenset({"runc"})

DEBIAN_PACKAGES = {
    "busybox": "busybox-static",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "nft": "nftables",
    "umount": "mount",
}
GO_REMEDY = "install Go 1.26 or newer, see https://go.dev/dl"


def cache_folder() -> Path:
    """Where what takes long to make is kept, outside of the checkout."""
    return platformdirs.user_cache_path("voiceplane") / "cluster"


def binaries_folder() -> Path:
    """The folder of a cluster's programs; another set of versions has another folder."""
    return _folder_of(MODULE, *(module for name, module in MODULES.items() if name not in APART))


def _folder_of(*modules: Path) -> Path:
    digest = hashlib.sha256()
    for module in modules:
        for name in ("go.mod", "go.sum"):
            digest.update((module / name).read_bytes())
    return cache_folder() / digest.hexdigest()[:16] / "bin"


def binary(name: str) -> Path:
    """One program, built first if it is absent.

    Raises:
        RuntimeError: It can't be built; ends with what the compiler said.
    """
    path = (_folder_of(MODULES[name]) if name in APART else binaries_folder()) / name
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock", timeout=BUILD_TIMEOUT_S):
        if not path.exists():
            _build(name, path)
    return path


def build_all() -> Path:
    """Build what is absent of every program.

    Returns:
        The folder of a cluster's.
    """
    for name in PACKAGES:
        binary(name)
    return binaries_folder()


def system_program(name: str) -> str:
    """The path of a program that the system provides.

    Raises:
        RuntimeError: It is not installed; names the Debian package.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        debian = f"apt-get install {DEBIAN_PACKAGES.get(name, name)}, or this system's equal"
        raise RuntimeError(f"{name} is not installed: {GO_REMEDY if name == 'go' else debian}")
    return path


def kubernetes_version() -> str:
    """Such as "v1.37.2"; from go.mod."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v[\d.]+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{MODULE / 'go.mod'} requires no k8s.io/kubernetes")
    return found[1]


def _build(name: str, path: Path) -> None:
    with_c = name in WITH_C
    building = path.with_name(f".{name}.{os.getpid()}")
    command = [system_program("go"), "build", "-trimpath", "-ldflags", _linker_flags(), "-o", str(building)]
    if with_c:
        command += ["-tags", "seccomp"]
    began = time.monotonic()
    result = subprocess.run(
        [*command, PACKAGES[name]],
        cwd=MODULES.get(name, MODULE),
        env={**os.environ, "CGO_ENABLED": "1" if with_c else "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if result.returncode:
        remedy = " (it needs gcc, pkg-config and libseccomp-dev)" if with_c else ""
        raise RuntimeError(f"{name} can't be built{remedy}: {result.stderr[-2000:]}")
    building.rename(path)  # a build that was interrupted leaves no half of a program behind
    print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _linker_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    base = "-X k8s.io/component-base/version"
    return f"-s -w {base}.gitVersion={version} {base}.gitMajor={major} {base}.gitMinor={minor}"
