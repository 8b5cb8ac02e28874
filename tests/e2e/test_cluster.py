"""What the cluster of the tests must be: real pods, real probes, real Services and names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cluster_fixtures import Kubectl

# The first one may build Kubernetes, and images.
pytestmark = pytest.mark.timeout(3600)

LOCKED_DOWN = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
ASK = """
import asyncio
from voiceplane_client import WorkerClient

async def main():
    async with WorkerClient("worker:50051") as client:
        async with asyncio.timeout(30):  # a call has 2 s, and a busy machine's first connection may take longer
            while not await client.healthy():
                await asyncio.sleep(0.1)
        print("healthy")

asyncio.run(main())
"""


def pod(name: str, image: str, **container: object) -> dict[str, object]:
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
        {"name": "cache", "mountPath": "/var/cache/voiceplane"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": "Never",
                    "securityContext": LOCKED_DOWN,
                    "volumeMounts": mounts,
                    **container,
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}],
        },
    }


def service(name: str, port: int) -> dict[str, object]:
    spec = {"selector": {"app": name}, "ports": [{"name": "grpc", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_worker_is_ready_by_its_grpc_probe_and_the_orchestrator_reaches_it_by_name(
    kubectl: Kubectl, cluster_images: dict[str, str]
) -> None:
    grpc_probe = {"grpc": {"port": 50051}, "periodSeconds": 1}
    worker = pod("worker", cluster_images["worker"], readinessProbe=grpc_probe)
    environment = {"VOICEPLANE_DISCOVERY__WORKERS": '["worker:50051"]', "VOICEPLANE_AUTH__ALLOW_ANONYMOUS": "true"}
    orchestrator = pod(
        "orchestrator",
        cluster_images["orchestrator"],
        env=[{"name": name, "value": value} for name, value in environment.items()],
        readinessProbe={"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
    )
    for manifest in (service("worker", 50051), worker, orchestrator):
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    kubectl("wait", "--for=condition=Ready", "--timeout=90s", "pod/worker", "pod/orchestrator")
    endpoints = json.loads(kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=worker", "-o", "json"))
    assert [one["conditions"]["ready"] for one in endpoints["items"][0]["endpoints"]] == [True]
    # The image has our client, and a name of the cluster must lead it to the worker.
    assert kubectl("exec", "orchestrator", "--", "python3", "-c", ASK) == "healthy\n"
    assert "model_resident" in kubectl("logs", "worker")


def test_images_run_as_no_one_in_particular(kubectl: Kubectl, cluster_images: dict[str, str]) -> None:
    for component, image in cluster_images.items():
        command = ["sh", "-c", f"id -u; command -v voiceplane-{component}; sleep 3600"]
        kubectl("apply", "-f", "-", stdin=json.dumps(pod(component, image, command=command)))
    kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{component}" for component in cluster_images))
    for component in cluster_images:
        uid, program = kubectl("logs", component).split()
        assert (uid, program) == ("65532", f"/opt/voiceplane/app/bin/voiceplane-{component}")
