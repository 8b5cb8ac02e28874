"""containerd with folders, a socket and a configuration of its own, so that it disturbs no other on the machine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.e2e.cluster.binaries import binaries_folder, binary
from tests.e2e.cluster.commands import attempt, run
from tests.e2e.cluster.daemons import Daemon
from tests.e2e.cluster.static_image import write_static_image

if TYPE_CHECKING:
    import subprocess

START_TIMEOUT_S = 60.0
IMPORT_TIMEOUT_S = 600.0
PAUSE_IMAGE = "localhost/pause:1"
POD_GATEWAY = "10.244.0.1"
POD_NETWORK = "10.244.0.0/24"
CNI_PLUGINS = Path("/usr/lib/cni")
BRIDGE = "cni0"


class Runtime:
    """containerd, and the network that it gives to pods.

    Args:
        folder: Everything that it writes, images too.
        run_folder: Its log and its pid file.
    """

    def __init__(self, folder: Path, run_folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "containerd.sock"
        self.daemon = Daemon("containerd", run_folder)

    def start(self) -> None:
        """Start it; returns when it answers."""
        if not (CNI_PLUGINS / "bridge").exists():
            raise RuntimeError(f"{CNI_PLUGINS}/bridge is absent: apt-get install containernetworking-plugins")
        for name in ("containerd-shim-runc-v2", "runc", "ctr"):
            binary(name)
        self._write_configuration()
        self._write_network()
        path = f"{binaries_folder()}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        self.daemon.start([binary("containerd"), "--config", self.folder / "config.toml"], environment={"PATH": path})
        self.daemon.wait("answer", lambda: self._try("version").returncode == 0, timeout_s=START_TIMEOUT_S)
        if PAUSE_IMAGE not in self.images():
            self._import_pause()

    def images(self) -> list[str]:
        """Names of the images that pods may use."""
        return self.ctr("images", "ls", "-q").split()

    def import_image(self, archive: Path) -> None:
        """Take in an image from an OCI or Docker archive."""
        self.ctr("images", "import", str(archive), timeout_s=IMPORT_TIMEOUT_S)

    def import_once(self, archive: Path) -> None:
        """Take in an image, unless this very archive was taken in before."""
        record = self.folder / "imported.json"
        imported = json.loads(record.read_text()) if record.exists() else {}
        status = archive.stat()
        version = [status.st_mtime_ns, status.st_size]
        if imported.get(str(archive)) != version:
            self.import_image(archive)
            record.write_text(json.dumps(imported | {str(archive): version}))

    def ctr(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Ask containerd, in Kubernetes' namespace."""
        return run([*self._ctr(), *arguments], timeout_s=timeout_s)

    def remove_containers(self) -> None:
        """End and forget every container; the images stay."""
        for task in self._try("tasks", "ls", "-q").stdout.split():
            self._try("tasks", "kill", "--all", "--signal", "SIGKILL", task)
            self._try("tasks", "rm", "--force", task)
        for container in self._try("containers", "ls", "-q").stdout.split():
            self._try("containers", "rm", container)

    def end(self) -> None:
        """End it, and the shims that it left behind."""
        self.daemon.end()
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if command and command[0].endswith("containerd-shim-runc-v2") and str(self.socket) in command:
                process.kill()

    def _try(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return attempt([*self._ctr(), *arguments])

    def _ctr(self) -> list[str | Path]:
        return [binary("ctr"), "--address", self.socket, "--namespace", "k8s.io"]

    def _write_configuration(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        cri = "io.containerd.cri.v1"
        (self.folder / "config.toml").write_text(
            f"""
version = 3
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
address = "{self.socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{self.folder}/opt"

[plugins."{cri}.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."{cri}.runtime"]
# Without CAP_SYS_RESOURCE no one may be made less likely to be killed for memory, and runc would fail.
restrict_oom_score_adj = true
# So that the folder is all there is to tidy up.
netns_mounts_under_state_dir = true

[plugins."{cri}.runtime".cni]
bin_dirs = ["{CNI_PLUGINS}"]
conf_dir = "{self.folder}/net.d"

[plugins."{cri}.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""
        )

    def _write_network(self) -> None:
        bridge = {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "hairpinMode": True,  # a pod may reach itself by its Service
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.folder / "addresses"),
                "ranges": [[{"subnet": POD_NETWORK, "gateway": POD_GATEWAY}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
        configuration = {"cniVersion": "0.4.0", "name": "voiceplane-test", "plugins": plugins}
        folder = self.folder / "net.d"
        folder.mkdir(exist_ok=True)
        (folder / "10-bridge.conflist").write_text(json.dumps(configuration, indent=2))

    def _import_pause(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "pause.tar"
            write_static_image(archive, PAUSE_IMAGE, {"/pause": binary("pause")})
            self.import_image(archive)
