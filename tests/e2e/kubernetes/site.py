"""A release of the chart in a namespace of its own, installed as users install it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from voiceplane_common.kube.names import API_VERSION

from tests.e2e.cluster.commands import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.e2e.cluster_fixtures import Kubectl

RELEASE = "vp"
OPERATOR = f"deployment/{RELEASE}-voiceplane-operator"
ORCHESTRATOR = f"{RELEASE}-voiceplane-orchestrator"
HELM_TIMEOUT_S = 300.0
POLL_S = 0.05
# Where the worker's image keeps the pack of the mock family: it serves under any modelId.
MOCK_PACK = "file:///opt/voiceplane/app/voiceplane_worker/voicepacks/mock/mock"
LOCKED_DOWN = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


class Site:
    """A namespace with a release.

    Attributes:
        kubectl: In that namespace, as the administrator.
        images: By component.
    """

    def __init__(self, kubectl: Kubectl, helm: str | Path, images: dict[str, str]) -> None:
        self.kubectl = kubectl
        self.images = images
        self._helm = helm

    @property
    def namespace(self) -> str:
        """Its name."""
        return self.kubectl.namespace

    # ------------------------------------------------------------ the release

    def values(self, **more: Any) -> dict[str, Any]:
        """Values that run this checkout's images, reconciling this namespace only."""
        image = {name: _image(reference) for name, reference in self.images.items()}
        small = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        values: dict[str, Any] = {
            "operator": {"image": image["operator"], "namespaces": [self.namespace], "resources": small},
            "orchestrator": {
                "image": image["orchestrator"],
                "auth": {"allowAnonymous": True},
                "resources": small,
                "config": {"limits": {"max_sessions": 64}},
            },
            "worker": {"image": image["worker"]},
        }
        for key, value in more.items():
            values[key] = values.get(key, {}) | value
        return values

    def helm(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
        """Run helm in the namespace."""
        command = [self._helm, "--kubeconfig", self.kubectl.kubeconfig, "--namespace", self.namespace, *arguments]
        if values is None:
            return run(command, timeout_s=HELM_TIMEOUT_S)
        return run([*command, "--values", "-"], stdin=json.dumps(values), timeout_s=HELM_TIMEOUT_S)

    @contextlib.contextmanager
    def orchestrator(self) -> Iterator[str]:
        """The orchestrator's URL, from outside of the cluster."""
        with self.forward(f"service/{ORCHESTRATOR}", 8080) as port:
            yield f"http://127.0.0.1:{port}"

    @contextlib.contextmanager
    def forward(self, target: str, port: int) -> Iterator[int]:
        """A local port that leads to a port of a pod or Service."""
        command = self.kubectl.command("port-forward", target, f":{port}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            assert child.stdout is not None
            try:
                line = child.stdout.readline()
                found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
                if found is None:
                    raise RuntimeError(f"kubectl port-forward: {line}{child.stdout.read()}")
                yield int(found[1])
            finally:
                child.kill()

    # ------------------------------------------------------------ objects

    def apply(self, *manifests: dict[str, Any]) -> None:
        """kubectl apply."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects, those that are being deleted among them."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def patch(self, kind: str, name: str, patch: dict[str, Any]) -> None:
        """kubectl patch, as a merge."""
        self.kubectl("patch", kind, name, "--type", "merge", "-p", json.dumps(patch))

    def pool(self, name: str, **spec: Any) -> dict[str, Any]:
        """A TTSWorkerPool of this checkout's worker, with the mock voice if no other default is named."""
        known = {
            "image": self.images["worker"],
            "imagePullPolicy": "Never",
            "defaultModel": "mock",
            "minResidencySeconds": 0,
            "resources": {"requests": {"cpu": "10m"}},
        }
        return {"apiVersion": API_VERSION, "kind": "TTSWorkerPool", "metadata": {"name": name}, "spec": known | spec}

    def voice(self, name: str, **spec: Any) -> dict[str, Any]:
        """A VoiceModel, of the mock family if no other is named."""
        known = {"family": "mock"} | ({} if "source" in spec else {"source": {"uri": MOCK_PACK}})
        return {"apiVersion": API_VERSION, "kind": "VoiceModel", "metadata": {"name": name}, "spec": known | spec}

    # ------------------------------------------------------------ waiting

    def wait(self, what: str, condition: str, *, timeout_s: float = 90) -> None:
        """kubectl wait."""
        self.kubectl("wait", f"--for={condition}", what, f"--timeout={timeout_s:.0f}s")

    def wait_ready(self, pool: str, *, workers: int, timeout_s: float = 90) -> None:
        """Wait until all workers of a pool are ready and have its current template."""
        self.until(
            lambda: self._is_complete(self.get("ttspool", pool), workers),
            f"pool {pool} to be ready",
            timeout_s=timeout_s,
        )

    def _is_complete(self, pool: dict[str, Any], workers: int) -> bool:
        status = pool.get("status") or {}
        seen = status.get("observedGeneration") == pool["metadata"]["generation"]
        counts = [status.get(name) for name in ("replicas", "readyReplicas", "updatedReplicas")]
        return seen and counts == [workers] * 3

    def condition(self, kind: str, name: str, which: str = "Ready") -> dict[str, Any]:
        """A condition of an object; an empty one if it has none."""
        conditions = (self.get(kind, name).get("status") or {}).get("conditions") or []
        return next((each for each in conditions if each["type"] == which), {})

    def resident(self, pool: str) -> set[str]:
        """The models that are resident on a pool's workers, by its status."""
        return {each["modelId"] for each in self.get("ttspool", pool)["status"]["residentModels"]}

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of an object of ours."""
        selector = f"involvedObject.name={name}"
        found: list[dict[str, Any]]
        found = json.loads(self.kubectl("get", "events", "--field-selector", selector, "-o", "json"))["items"]
        return found

    def pods(self, pool: str) -> dict[str, str]:
        """The uid of each pod that is not being deleted, by name. Fails if a container was restarted."""
        found = {}
        for pod in self.items("pods", f"voiceplane.dev/pool={pool}"):
            if "deletionTimestamp" not in pod["metadata"]:
                restarts = [each["restartCount"] for each in pod["status"].get("containerStatuses") or ()]
                assert not any(restarts), f"{pod['metadata']['name']} was restarted"
                found[pod["metadata"]["name"]] = pod["metadata"]["uid"]
        return found

    def busy_workers(self, pool: str, count: int) -> set[str]:
        """The pods with a session, by their own metrics, once there are `count` of them."""
        found: set[str] = set()

        def all_are_busy() -> bool:
            for pod in self.pods(pool):
                with self.forward(f"pod/{pod}", 9090) as port:
                    if _sessions(port):
                        found.add(pod)
            return len(found) >= count

        self.until(all_are_busy, f"{count} workers of {pool} to be busy")
        return found

    def until(self, holds: Callable[[], bool], what: str, *, timeout_s: float = 60) -> None:
        """Poll until a condition holds."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > timeout_s:
                raise AssertionError(f"waited {timeout_s:g} s for {what}\n{self.story()}")
            time.sleep(POLL_S)

    def story(self) -> str:
        """The state of the namespace, for the message of a failed wait."""
        commands: Sequence[tuple[str, ...]] = (
            ("get", "ttspool,vmodel,deployments,pods", "-o", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", OPERATOR, "--tail=30"),
        )
        return "\n".join(self.kubectl.attempt(*command).stdout for command in commands)


def _sessions(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("voiceplane_worker_sessions "))


def _image(reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}
