"""kind: the cluster of those who can pull images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.cluster.cluster import state_folder
from tests.e2e.cluster.commands import attempt, run

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "voiceplane"
CONFIGURATION = Path(__file__).parents[3] / "kind-config.yaml"
PROBE_IMAGE = "registry.k8s.io/pause:3.10"
PULL_TIMEOUT_S = 60.0
CREATE_TIMEOUT_S = 900.0
LOAD_TIMEOUT_S = 600.0


class Kind:
    """A cluster whose nodes are containers of docker."""

    def __init__(self) -> None:
        self.kubeconfig = state_folder() / "kind.kubeconfig"

    @staticmethod
    def usable() -> bool:
        """Whether kind and docker are installed, and docker can pull an image."""
        if not shutil.which("kind") or not shutil.which("docker"):
            return False
        try:
            return attempt(["docker", "pull", "--quiet", PROBE_IMAGE], timeout_s=PULL_TIMEOUT_S).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    @staticmethod
    def exists() -> bool:
        """Whether our cluster is there."""
        return bool(shutil.which("kind")) and NAME in attempt(["kind", "get", "clusters"]).stdout.split()

    def up(self) -> Path:
        """Create it, unless it is there.

        Returns:
            The administrator's kubeconfig.
        """
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if self.exists():
            run(["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", self.kubeconfig])
        else:
            create: list[str | Path] = ["kind", "create", "cluster", "--name", NAME, "--config", CONFIGURATION]
            run([*create, "--wait", "180s", "--kubeconfig", self.kubeconfig], timeout_s=CREATE_TIMEOUT_S)
        return self.kubeconfig

    def down(self, *, purge: bool = False) -> None:
        """Remove it.

        Args:
            purge: Its images go with it in any case.
        """
        del purge
        run(["kind", "delete", "cluster", "--name", NAME], timeout_s=CREATE_TIMEOUT_S)
        self.kubeconfig.unlink(missing_ok=True)

    def status(self) -> dict[str, bool]:
        """Whether it is there."""
        return {f"kind cluster {NAME}": self.exists()}

    @staticmethod
    def load(images: Sequence[str]) -> None:
        """Take in images: archives, or names that docker has."""
        for image in images:
            kind = "image-archive" if Path(image).is_file() else "docker-image"
            run(["kind", "load", kind, image, "--name", NAME], timeout_s=LOAD_TIMEOUT_S)
