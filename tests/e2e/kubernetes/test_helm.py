"""The chart is installed, upgraded from the previous chart and uninstalled; no custom resource is lost."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster_fixtures import REPOSITORY, namespace_of_its_own
from tests.e2e.kubernetes.site import RELEASE, Site
from tests.support.chart import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first one may build Kubernetes, and images.
pytestmark = pytest.mark.timeout(3600)

KINDS = (
    "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,jobs,"
    "poddisruptionbudgets,networkpolicies,pods"
)
CLUSTER_KINDS = "clusterroles,clusterrolebindings"


@pytest.fixture
def empty(cluster_kubeconfig: Path, cluster_images: dict[str, str], helm: Path) -> Iterator[Site]:
    """A namespace without a release."""
    with namespace_of_its_own(cluster_kubeconfig) as kubectl:
        yield Site(kubectl, helm, cluster_images)


def chart_before(folder: Path) -> Path:
    """The chart of the previous commit; this one if there is none."""
    archive = folder / "before.tar"
    command = ["git", "-C", str(REPOSITORY), "archive", "--format=tar", "-o", str(archive), "HEAD~1", "charts", "crds"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return CHART
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "charts" / "voiceplane"


def owned(site: Site) -> set[str]:
    """The objects of the namespace without Kubernetes' own, and the release's cluster-wide objects."""
    inside = site.kubectl("get", KINDS, "-o", "name").split()
    outside = site.kubectl("get", CLUSTER_KINDS, "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name").split()
    mine = {name for name in outside if site.namespace in name}
    return {name for name in inside if "kube-root-ca.crt" not in name and not name.endswith("/default")} | mine


def test_install_upgrade_and_uninstall(empty: Site, tmp_path: Path) -> None:
    site = empty
    spec = site.pool("speakers", replicas=1)["spec"]
    values = site.values(pools={"speakers": spec}, models={"given": site.voice("given")["spec"]})
    before = chart_before(tmp_path)
    site.helm("install", RELEASE, before, "--wait", "--timeout", "120s", values=values)
    site.wait_ready("speakers", workers=1)
    site.wait("vmodel/given", "jsonpath={.status.residency}=1/1")
    site.apply(site.pool("own", replicas=0), site.voice("own"))
    kept = {kind: site.get(kind, "own")["metadata"]["uid"] for kind in ("ttspool", "vmodel")}
    pods = site.pods("speakers")

    more = values | {"models": {"given": values["models"]["given"], "second": site.voice("second")["spec"]}}
    site.helm("upgrade", RELEASE, CHART, "--wait", "--timeout", "120s", values=more)
    site.wait("vmodel/second", "jsonpath={.status.residency}=1/1")
    assert site.pods("speakers") == pods, "an upgrade of the operator keeps the workers"
    assert not [name for name in owned(site) if "crds" in name], "the job that applied the CRDs is deleted"

    site.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")
    site.until(lambda: not site.items("pods"), "all pods to end")
    for kind in ("ttspool", "vmodel"):
        assert site.get(kind, "own")["metadata"]["uid"] == kept[kind]
        assert [item["metadata"]["name"] for item in site.items(kind)] == ["own"], (
            "those of the release are deleted with it"
        )
    # No finalizer blocks their deletion, although no operator runs.
    site.kubectl("delete", "ttspool/own", "vmodel/own", "--timeout=10s")
    site.until(lambda: not owned(site), "all objects to go")


def test_an_upgrade_updates_the_crds(empty: Site) -> None:
    site = empty
    site.helm("install", RELEASE, CHART, "--wait", "--timeout", "120s", values=site.values())
    column = [{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/0"}]
    crd = "voicemodels.voiceplane.dev"
    site.kubectl("patch", "crd", crd, "--type=json", "-p", json.dumps(column))
    whole = site.get("crd", crd)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "Family" not in [each["name"] for each in whole]
    site.helm("upgrade", RELEASE, CHART, "--wait", "--timeout", "120s", values=site.values())
    whole = site.get("crd", crd)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "Family" in [each["name"] for each in whole]
    site.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")


def test_a_clusterwide_operator_serves_any_namespace(empty: Site, cluster_kubeconfig: Path) -> None:
    values = empty.values(operator=empty.values()["operator"] | {"namespaces": []}, orchestrator={"enabled": False})
    empty.helm("install", RELEASE, CHART, "--wait", "--timeout", "120s", values=values)
    with namespace_of_its_own(cluster_kubeconfig) as kubectl:
        elsewhere = Site(kubectl, "", empty.images)
        elsewhere.apply(elsewhere.pool("far", replicas=1), elsewhere.voice("away"))
        elsewhere.wait("vmodel/away", "jsonpath={.status.residency}=1/1")
        elsewhere.kubectl("delete", "ttspool/far", "vmodel/away")
    empty.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")
    empty.until(lambda: not owned(empty), "all objects to go")
