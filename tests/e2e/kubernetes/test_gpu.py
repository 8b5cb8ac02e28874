"""GPU pools on a node that advertises two GPUs, with the real scheduler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = pytest.mark.timeout(3600)

PRODUCT = "NVIDIA-Test"


@pytest.fixture
def node(site: Site) -> Iterator[str]:
    """The node's name; it has two GPUs of a product until the test ends."""
    name = site.items("nodes")[0]["metadata"]["name"]
    gpus = {"status": {"capacity": {"nvidia.com/gpu": "2"}, "allocatable": {"nvidia.com/gpu": "2"}}}
    site.kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps(gpus))
    site.kubectl("label", "node", name, f"nvidia.com/gpu.product={PRODUCT}", "--overwrite")
    yield name
    site.kubectl("label", "node", name, "nvidia.com/gpu.product-")
    gone = [{"op": "remove", "path": f"/status/{which}/nvidia.com~1gpu"} for which in ("capacity", "allocatable")]
    site.kubectl("patch", "node", name, "--subresource=status", "--type=json", "-p", json.dumps(gone))


def phases(site: Site, pool: str) -> list[str]:
    return sorted(pod["status"]["phase"] for pod in site.items("pods", f"voiceplane.dev/pool={pool}"))


def test_a_worker_without_a_free_gpu_is_unschedulable(site: Site, node: str) -> None:
    # The worker computes on the CPU: the test is about the request and the allocation of the GPU.
    on_cpu = {"name": "worker", "env": [{"name": "VOICEPLANE_WORKER__DEVICE", "value": "cpu"}]}
    spec = {"device": "cuda", "gpu": {"product": PRODUCT}, "podTemplate": {"spec": {"containers": [on_cpu]}}}
    site.apply(site.pool("gpu", replicas=3, **spec))
    site.until(lambda: phases(site, "gpu") == ["Pending", "Running", "Running"], "two of three to run")
    site.wait("ttspool/gpu", "jsonpath={.status.readyReplicas}=2")
    site.wait("ttspool/gpu", "jsonpath={.status.phase}=Unschedulable", timeout_s=10)
    condition = site.condition("ttspool", "gpu")
    assert condition["status"] == "False"
    assert condition["reason"] == "Unschedulable"
    assert "2 of 3" in condition["message"]
    assert "Insufficient nvidia.com/gpu" in condition["message"]
    assert any("Insufficient nvidia.com/gpu" in event["message"] for event in site.events("gpu"))
    pod = site.items("pods", "voiceplane.dev/pool=gpu")[0]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": PRODUCT}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    site.kubectl("patch", "ttspool", "gpu", "--type=merge", "-p", '{"spec": {"replicas": 2}}')
    site.wait("ttspool/gpu", "condition=Ready=True")
    assert phases(site, "gpu") == ["Running", "Running"], "the pending pod was deleted first"
    site.kubectl("delete", "ttspool", "gpu")


def test_a_missing_gpu_product_is_reported(site: Site, node: str) -> None:
    site.apply(site.pool("elsewhere", device="cuda", gpu={"product": "NVIDIA-Other"}))
    site.wait("ttspool/elsewhere", "jsonpath={.status.phase}=Unschedulable")
    assert "didn't match Pod's node affinity/selector" in site.condition("ttspool", "elsewhere")["message"]
    site.kubectl("delete", "ttspool", "elsewhere")


@pytest.mark.parametrize(
    "gpu",
    [
        {"resourceName": "nvidia.com/gpu", "count": 2},
        {"resourceName": "nvidia.com/mig-1g.10gb"},
        {"resourceName": "nvidia.com/gpu.shared"},
        {"claim": {"deviceClassName": "gpu.nvidia.com", "selectors": ["device.driver == 'gpu.nvidia.com'"]}},
    ],
    ids=["whole", "mig", "time-sliced", "dra"],
)
def test_the_api_server_accepts_each_kind_of_gpu(site: Site, gpu: dict[str, object]) -> None:
    site.apply(site.pool("kinds", replicas=0, device="cuda", gpu=gpu, runtimeClassName="nvidia", sharedMemory="1Gi"))
    site.wait("ttspool/kinds", "jsonpath={.status.phase}=ScaledToZero", timeout_s=20)
    assert site.condition("ttspool", "kinds", "Degraded")["status"] == "False"
    container = site.get("deployment", "kinds-tts")["spec"]["template"]["spec"]["containers"][0]
    if "claim" in gpu:
        assert container["resources"]["claims"] == [{"name": "gpu"}]
        claim = site.get("resourceclaimtemplate", "kinds-tts")["spec"]["spec"]["devices"]["requests"][0]
        assert claim["exactly"]["deviceClassName"] == "gpu.nvidia.com"
    else:
        assert container["resources"]["limits"] == {gpu["resourceName"]: str(gpu.get("count", 1))}
    site.kubectl("delete", "ttspool", "kinds")
