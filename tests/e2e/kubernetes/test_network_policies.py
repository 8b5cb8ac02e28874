"""The chart's NetworkPolicies, with a network plugin that enforces them."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster_fixtures import namespace_of_its_own
from tests.e2e.kubernetes.site import RELEASE, Site
from tests.support.chart import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first one may build Kubernetes, and images.
pytestmark = pytest.mark.timeout(3600)

POLICY = {
    "enabled": True,
    "clients": [{"podSelector": {"matchLabels": {"role": "client"}}}],
    "monitoring": [{"podSelector": {"matchLabels": {"role": "monitoring"}}}],
    "workerClients": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "other-release"}}}],
}
ORCHESTRATORS_NAME = {"app.kubernetes.io/name": "voiceplane-orchestrator"}
PEERS = {"unknown": {}, "client": {"role": "client"}, "monitoring": {"role": "monitoring"}}
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"


@pytest.fixture(scope="module")
def enforced(cluster_kubeconfig: Path) -> Iterator[None]:
    """A network plugin that enforces policies; kind's own network does."""
    cluster = Cluster()
    if cluster_kubeconfig != cluster.kubeconfig:
        yield
        return
    policies = cluster.policies()
    policies.start()
    try:
        yield
    finally:
        policies.end()


def peer(site: Site, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A pod that waits for `kubectl exec`."""
    container = {
        "name": "peer",
        "image": site.images["worker"],
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def start(site: Site, peers: dict[str, dict[str, str]]) -> None:
    site.apply(*(peer(site, name, labels) for name, labels in peers.items()))
    for name in peers:
        site.wait(f"pod/{name}", "condition=Ready")


def reaches(site: Site, name: str, address: str, port: int) -> bool:
    return site.kubectl.attempt("exec", name, "--", "python3", "-c", CONNECT, address, str(port)).returncode == 0


def address_of(site: Site, selector: str) -> str:
    (pod,) = site.items("pods", selector)
    return str(pod["status"]["podIP"])


def speaks(site: Site) -> None:
    """A whole request, from outside through the orchestrator to the worker."""
    with site.orchestrator() as url:
        body = json.dumps({"input": "Hello.", "model": "given", "response_format": "wav"}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/v1/audio/speech", body, headers)  # noqa: S310  # it is http:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            assert len(response.read()) > 10_000


@pytest.mark.usefixtures("enforced")
def test_only_named_clients_reach_the_pods(
    cluster_kubeconfig: Path, cluster_images: dict[str, str], helm: Path
) -> None:
    with namespace_of_its_own(cluster_kubeconfig) as here, namespace_of_its_own(cluster_kubeconfig) as there:
        site, elsewhere = Site(here, helm, cluster_images), Site(there, helm, cluster_images)
        values = site.values(pools={"speakers": site.pool("speakers", replicas=1)["spec"]})
        site.helm("install", RELEASE, CHART, "--wait", "--timeout", "120s", values=values)
        site.wait_ready("speakers", workers=1)
        start(site, PEERS)
        start(elsewhere, {"impostor": ORCHESTRATORS_NAME, "other-release": {"role": "other-release"}})
        worker = address_of(site, "voiceplane.dev/pool=speakers")
        orchestrator = address_of(site, f"app.kubernetes.io/name={ORCHESTRATORS_NAME['app.kubernetes.io/name']}")
        assert reaches(site, "unknown", worker, 50051), "without policies, every pod"
        assert reaches(elsewhere, "impostor", worker, 50051)

        site.helm("upgrade", RELEASE, CHART, "--wait", "--timeout", "120s", values=values | {"networkPolicy": POLICY})
        site.until(lambda: not reaches(site, "unknown", worker, 50051), "the policies to be held to")
        found = {
            (name, port): reaches(site, name, address, port)
            for name in PEERS
            for address, port in ((worker, 50051), (worker, 9090), (orchestrator, 8080))
        }
        assert {key for key, reached in found.items() if reached} == {
            ("client", 8080),
            ("monitoring", 8080),
            ("monitoring", 9090),
        }
        assert not reaches(elsewhere, "impostor", worker, 50051), "a pod's name does not count in another namespace"
        assert reaches(elsewhere, "other-release", worker, 50051)

        site.apply(site.voice("given"))  # the operator reaches the worker,
        site.wait("vmodel/given", "jsonpath={.status.residency}=1/1")
        speaks(site)  # and the orchestrator
        site.kubectl("delete", "vmodel/given", "--timeout=30s")
        site.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")
