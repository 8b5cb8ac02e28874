"""The programs that tests run, built from the Go modules that go.mod pins, once for each set of versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODULE = Path(__file__).parent
BUILD_TIMEOUT_S = 3600.0

KUBERNETES = "./programs/kubernetes"
PACKAGES = {
    # One program that runs as the one by whose name it is called: see its main.go.
    "kube-apiserver": KUBERNETES,
    "kubectl": KUBERNETES,
    "kube-controller-manager": KUBERNETES,
    "kube-scheduler": KUBERNETES,
    "kubelet": KUBERNETES,
    "kube-proxy": KUBERNETES,
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "runc": "github.com/opencontainers/runc",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "pause": "./programs/pause",
    "coredns": "./programs/coredns",
    "kube-router": "./programs/kube-router",
    "livekit-server": "github.com/livekit/livekit-server/cmd/server",
    "docker-compose": "github.com/docker/compose/v2/cmd",
}
# Seccomp is libseccomp, which is C. Everything else is static.
WITH_C = frozenset({"runc"})
# No debugger is used on them: without its tables, compiling takes a tenth less time.
COMPILER_FLAGS = "all=-dwarf=false"

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
    """The folder of the programs; other versions or other programs of our own have another folder."""
    digest = hashlib.sha256()
    for path in [MODULE / "go.mod", MODULE / "go.sum", *sorted((MODULE / "programs").glob("*/*.go"))]:
        digest.update(path.read_bytes())
    return cache_folder() / digest.hexdigest()[:16] / "bin"


def binary(name: str) -> Path:
    """One program, built first if it is absent.

    Raises:
        RuntimeError: It can't be built; ends with what the compiler said.
    """
    path = binaries_folder() / name
    if not path.exists():
        _build_absent([name])
    return path


def build_all() -> Path:
    """Build the programs that are absent; the compiler runs once for all, on all cores.

    Returns:
        Their folder.
    """
    _build_absent(PACKAGES)
    return binaries_folder()


def download_modules() -> None:
    """Download the sources of all programs: a wait for the network during which other work can go on.

    Raises:
        RuntimeError: They can't be downloaded; ends with what go said.
    """
    _go("mod", "download", with_c=False)


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


def _build_absent(names: Iterable[str]) -> None:
    folder = binaries_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock", timeout=BUILD_TIMEOUT_S):
        packages = {PACKAGES[name] for name in names if not (folder / name).exists()}
        absent = [name for name, package in PACKAGES.items() if package in packages]
        _build([name for name in absent if name not in WITH_C], folder, with_c=False)
        _build([name for name in absent if name in WITH_C], folder, with_c=True)


def _build(names: Sequence[str], folder: Path, *, with_c: bool) -> None:
    if not names:
        return
    print(f"building {', '.join(names)}; the first time takes minutes", file=sys.stderr)
    began = time.monotonic()
    packages = sorted({PACKAGES[name] for name in names})
    flags = ["-trimpath", "-buildvcs=false", f"-gcflags={COMPILER_FLAGS}", f"-ldflags={_linker_flags()}"]
    if with_c:
        flags += ["-tags", "seccomp"]
    # An interrupted build leaves no half of a program behind.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building") as building:
        _go("build", *flags, "-o", f"{building}/", *packages, with_c=with_c)
        for package in packages:
            _install(Path(building) / Path(package).name, [name for name in names if PACKAGES[name] == package], folder)
    print(f"built them in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _install(built: Path, names: Sequence[str], folder: Path) -> None:
    """Give a program its names in the folder; several names are links to one file."""
    for name in names:
        link = built.with_name(f"{built.name}.link")
        link.hardlink_to(built)
        link.rename(folder / name)


def _go(*arguments: str, with_c: bool) -> None:
    result = subprocess.run(
        [system_program("go"), *arguments],
        cwd=MODULE,
        env={**os.environ, "CGO_ENABLED": "1" if with_c else "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if result.returncode:
        remedy = " (it needs gcc, pkg-config and libseccomp-dev)" if with_c else ""
        raise RuntimeError(f"go {arguments[0]} failed{remedy}: {result.stderr[-2000:]}")


def _linker_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    base = "-X k8s.io/component-base/version"
    return f"-s -w {base}.gitVersion={version} {base}.gitMajor={major} {base}.gitMinor={minor}"
