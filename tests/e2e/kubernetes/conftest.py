"""A release of the chart for each module of tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster.binaries import binary
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster_fixtures import namespace_of_its_own
from tests.e2e.kubernetes.site import RELEASE, Site
from tests.support.chart import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def helm(cluster_kubeconfig: Path) -> Path:
    """The program."""
    installed = None if cluster_kubeconfig == Cluster().kubeconfig else shutil.which("helm")
    return Path(installed) if installed else binary("helm")


@pytest.fixture(scope="module")
def site(cluster_kubeconfig: Path, cluster_images: dict[str, str], helm: Path) -> Iterator[Site]:
    """A release without any pool."""
    with namespace_of_its_own(cluster_kubeconfig) as kubectl:
        site = Site(kubectl, helm, cluster_images)
        site.helm("install", RELEASE, CHART, "--wait", "--timeout", "180s", values=site.values())
        yield site
        site.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")
