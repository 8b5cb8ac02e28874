"""A real cluster for tests: that of KUBECONFIG if it is set; else that of `just cluster-up`, started if need be."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.set_version import current
from tests.e2e.cluster.binaries import binary
from tests.e2e.cluster.certificates import CONTEXT
from tests.e2e.cluster.choice import chosen, running
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.commands import attempt, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
KUBECTL_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 1800.0
COMPONENTS = ("worker", "orchestrator", "operator")


@dataclass(frozen=True)
class Kubectl:
    """kubectl as the administrator, in one namespace."""

    kubeconfig: Path
    namespace: str
    program: str | Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it; it must succeed. Returns what it printed."""
        return run(self.command(*arguments), stdin=stdin, timeout_s=KUBECTL_TIMEOUT_S)

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it; the caller looks at its exit status."""
        return attempt(self.command(*arguments), stdin=stdin, timeout_s=KUBECTL_TIMEOUT_S)

    def command(self, *arguments: str) -> list[str | Path]:
        """The whole command line."""
        return [self.program, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments]


def given_cluster() -> Path:
    """The kubeconfig that KUBECONFIG names.

    Raises:
        RuntimeError: It leads to a cluster that may be someone's own.
    """
    path = Path(os.environ["KUBECONFIG"])
    if not path.is_file():
        raise RuntimeError(f"KUBECONFIG {path} is not a file: run `just cluster-up`, or unset it")
    context = yaml.safe_load(path.read_text()).get("current-context", "")
    if not context.startswith("kind-") and context not in {CONTEXT, os.environ.get("VOICEPLANE_E2E_CONTEXT")}:
        raise RuntimeError(
            f"KUBECONFIG leads to the context {context!r}, where these tests would install what they test: unset "
            f"KUBECONFIG, or set VOICEPLANE_E2E_CONTEXT={context} to let them"
        )
    return path


@pytest.fixture(scope="session")
def cluster_kubeconfig() -> Iterator[Path]:
    """The administrator's kubeconfig. A cluster that was not up before is ended after the last test."""
    if "KUBECONFIG" in os.environ:
        yield given_cluster()
        return
    cluster = running()
    if all(cluster.status().values()):
        yield cluster.kubeconfig
        return
    cluster = chosen()
    try:
        yield cluster.up()
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def cluster_images(cluster_kubeconfig: Path) -> dict[str, str]:
    """Names of the images by component, built from this checkout and known to the cluster.

    With KUBECONFIG they are expected to be there, with the tag of VOICEPLANE_IMAGE_TAG (the version, if unset).
    """
    tag = os.environ.get("VOICEPLANE_IMAGE_TAG") or current()
    if "KUBECONFIG" not in os.environ:
        built = run([REPOSITORY / "images" / "build", *COMPONENTS], timeout_s=BUILD_TIMEOUT_S)
        running().load(built.split())
    return {component: f"voiceplane/{component}:{tag}" for component in COMPONENTS}


@contextlib.contextmanager
def namespace_of_its_own(cluster_kubeconfig: Path) -> Iterator[Kubectl]:
    """kubectl in a namespace that goes in the end."""
    # A cluster that was given, or kind's, comes with a kubectl that suits it.
    installed = None if cluster_kubeconfig == Cluster().kubeconfig else shutil.which("kubectl")
    kubectl = Kubectl(cluster_kubeconfig, f"test-{uuid.uuid4().hex[:8]}", installed or binary("kubectl"))
    kubectl("create", "namespace", kubectl.namespace)
    kubectl("wait", "--for=create", "--timeout=30s", "serviceaccount/default")
    try:
        yield kubectl
    finally:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")  # the next test has another


@pytest.fixture
def kubectl(cluster_kubeconfig: Path) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own."""
    with namespace_of_its_own(cluster_kubeconfig) as kubectl:
        yield kubectl
