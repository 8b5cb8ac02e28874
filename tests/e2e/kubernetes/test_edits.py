"""Each field of a spec can be edited: it takes effect, and only those of a pod's own template replace pods."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_operator.specs.pool import TTSWorkerPoolSpec
from voiceplane_operator.specs.voicemodel import VoiceModelSpec

from tests.e2e.kubernetes.site import MOCK_PACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = pytest.mark.timeout(3600)

TOLERATION = {"key": "example.com/slow", "operator": "Exists"}


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(deployment)["containers"][0]
    return container


def env(name: str, value: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the worker's environment has the setting."""
    return lambda deployment: {"name": f"VOICEPLANE_{name}", "value": value} in container_of(deployment)["env"]


def volume(name: str, **source: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda deployment: {"name": name} | source in pod_of(deployment)["volumes"]


# Fields of the pod template: their new value, and what must then be true of the Deployment.
TEMPLATE: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "image": ({"image": "voiceplane/worker:other"}, lambda d: container_of(d)["image"] == "voiceplane/worker:other"),
    "imagePullPolicy": ({"imagePullPolicy": "Always"}, lambda d: container_of(d)["imagePullPolicy"] == "Always"),
    "imagePullSecrets": (
        {"imagePullSecrets": [{"name": "key"}]},
        lambda d: pod_of(d).get("imagePullSecrets") == [{"name": "key"}],
    ),
    "device": (
        {"device": "cuda"},
        lambda d: (
            container_of(d)["resources"].get("limits") == {"nvidia.com/gpu": "1"} and env("WORKER__DEVICE", "cuda")(d)
        ),
    ),
    "gpu": (
        {"device": "cuda", "gpu": {"resourceName": "nvidia.com/mig-1g.10gb", "count": 2}},
        lambda d: container_of(d)["resources"].get("limits") == {"nvidia.com/mig-1g.10gb": "2"},
    ),
    "defaultModel": ({"defaultModel": "other"}, env("MODEL_MANAGER__DEFAULT_MODEL_ID", "other")),
    "preload": ({"preload": ["a", "b"]}, env("MODEL_MANAGER__PRELOAD_MODEL_IDS", '["a", "b"]')),
    "ttlSeconds": ({"ttlSeconds": 7}, env("MODEL_MANAGER__TTL_MS", "7000")),
    "minResidencySeconds": ({"minResidencySeconds": 9}, env("MODEL_MANAGER__MIN_RESIDENCY_MS", "9000")),
    "residentCap": ({"residentCap": 9}, env("MODEL_MANAGER__RESIDENT_CAP", "9")),
    "memoryBudget": ({"memoryBudget": "1Gi"}, env("MODEL_MANAGER__MEMORY_CAP_BYTES", str(2**30))),
    "maxParallelLoads": ({"maxParallelLoads": 2}, env("MODEL_MANAGER__MAX_PARALLEL_LOADS", "2")),
    "loadTimeoutSeconds": ({"loadTimeoutSeconds": 9}, env("MODEL_MANAGER__LOAD_TIMEOUT_MS", "9000")),
    "prefetch": ({"prefetch": True}, env("MODEL_MANAGER__PREFETCH", "true")),
    "sessionsPerWorker": ({"sessionsPerWorker": 5}, env("WORKER__MAX_SESSIONS", "5")),
    "drainTimeoutSeconds": (
        {"drainTimeoutSeconds": 5},
        lambda d: pod_of(d)["terminationGracePeriodSeconds"] == 20 and env("WORKER__DRAIN_TIMEOUT_MS", "5000")(d),
    ),
    "tls": (
        {"tls": {"secretName": "certificates"}},
        volume("tls", secret={"secretName": "certificates", "defaultMode": 0o440}),
    ),
    "cache": ({"cache": {"sizeLimit": "1Gi"}}, volume("cache", emptyDir={"sizeLimit": "1Gi"})),
    "credentials": (
        {"credentials": [{"name": "key"}]},
        volume("credentials-0", secret={"secretName": "key", "optional": True, "defaultMode": 0o440}),
    ),
    "sharedMemory": (
        {"sharedMemory": "64Mi"},
        volume("shm", emptyDir={"medium": "Memory", "sizeLimit": "64Mi"}),
    ),
    "resources": (
        {"resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "1Gi"}}},
        lambda d: container_of(d)["resources"] == {"requests": {"cpu": "20m"}, "limits": {"memory": "1Gi"}},
    ),
    "nodeSelector": ({"nodeSelector": {"disk": "ssd"}}, lambda d: pod_of(d).get("nodeSelector") == {"disk": "ssd"}),
    "tolerations": ({"tolerations": [TOLERATION]}, lambda d: pod_of(d).get("tolerations") == [TOLERATION]),
    "affinity": (
        {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}
        ]}}},
        lambda d: "podAntiAffinity" in pod_of(d).get("affinity", ()),
    ),
    "runtimeClassName": ({"runtimeClassName": "nvidia"}, lambda d: pod_of(d).get("runtimeClassName") == "nvidia"),
    "priorityClassName": ({"priorityClassName": "high"}, lambda d: pod_of(d).get("priorityClassName") == "high"),
    "podTemplate": (
        {"podTemplate": {"metadata": {"annotations": {"example.com/a": "b"}}, "spec": {"hostname": "talker"}}},
        lambda d: pod_of(d).get("hostname") == "talker"
        and d["spec"]["template"]["metadata"]["annotations"]["example.com/a"] == "b",
    ),
}  # fmt: skip
# Fields whose edit keeps the pods.
REST = {"replicas", "autoscaling", "rollout"}


def test_every_pool_field_has_an_edit() -> None:
    fields = {field.alias for field in TTSWorkerPoolSpec.model_fields.values()}
    assert fields == TEMPLATE.keys() | REST


@pytest.fixture(scope="module")
def asleep(site: Site) -> str:
    """A pool without pods: its Deployment shows what they would be."""
    site.apply(site.pool("asleep", replicas=0))
    site.wait("ttspool/asleep", "jsonpath={.status.phase}=ScaledToZero")
    return "asleep"


def edit(site: Site, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Replace a whole spec, and return the object once the operator has seen it."""
    patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
    site.kubectl("patch", kind, name, "--type=json", "-p", patch)

    def is_seen() -> bool:
        found = site.get(kind, name)
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    site.until(is_seen, f"the edit of {name} to be seen", timeout_s=10)
    return site.get(kind, name)


@pytest.mark.parametrize("field", TEMPLATE)
def test_an_edit_of_the_template_replaces_the_pods(site: Site, asleep: str, field: str) -> None:
    plain = site.pool(asleep, replicas=0)["spec"]
    before = edit(site, "ttspool", asleep, plain)["status"]["templateHash"]
    change, holds = TEMPLATE[field]
    after = edit(site, "ttspool", asleep, plain | change)["status"]["templateHash"]
    assert holds(site.get("deployment", f"{asleep}-tts"))
    assert after != before
    assert edit(site, "ttspool", asleep, plain)["status"]["templateHash"] == before, (
        "a removed field is removed from the template"
    )
    assert not holds(site.get("deployment", f"{asleep}-tts"))


@pytest.fixture(scope="module")
def awake(site: Site) -> str:
    """A pool with a worker."""
    site.apply(site.pool("awake", replicas=1, residentCap=8))
    site.wait_ready("awake", workers=1)
    return "awake"


def test_an_edit_of_size_or_rollout_keeps_the_pods(site: Site, awake: str) -> None:
    before = site.pods(awake)
    spec = site.get("ttspool", awake)["spec"]
    edit(site, "ttspool", awake, spec | {"rollout": {"strategy": "recreate", "maxUnavailable": 0}})
    assert site.get("deployment", "awake-tts")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }
    assert site.get("poddisruptionbudget", "awake-tts")["spec"]["maxUnavailable"] == 0
    edit(site, "ttspool", awake, spec | {"replicas": 2})
    site.wait_ready(awake, workers=2)
    assert before.items() <= site.pods(awake).items()
    scaled = {key: value for key, value in spec.items() if key != "replicas"}
    autoscaling = {"minReplicas": 1, "maxReplicas": 3, "targetSessionsPerWorker": 4, "scaleDownDelaySeconds": 0}
    edit(site, "ttspool", awake, scaled | {"autoscaling": autoscaling})
    site.wait_ready(awake, workers=1)
    assert site.pods(awake).items() <= before.items() | site.pods(awake).items()
    edit(site, "ttspool", awake, spec)


VOICE = {"family": "mock", "source": {"uri": MOCK_PACK}}
LORA = {"family": "mock", "lora": {"baseModelRef": {"name": "missing"}, "source": {"uri": MOCK_PACK}}}
# Fields of a VoiceModel: their new value, and the resulting reason of Ready.
VOICE_EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "source": (VOICE | {"source": {"uri": "file:///nowhere"}}, "ReloadFailed"),
    "residency": (VOICE | {"residency": {"policy": "onDemand"}}, "OnDemand"),
    "poolSelector": (VOICE | {"poolSelector": {"matchLabels": {"tier": "none"}}}, "NoPool"),
    "options": (VOICE | {"options": {"fail_load": "true"}}, "ReloadFailed"),
    "lora": (LORA, "BaseModelMissing"),
}
# The others: the two immutable ones, and those that do not change Ready's reason.
VOICE_REST = {"family", "modelId", "warmUpText", "memory", "languages", "voices", "loadTimeoutSeconds"}


def test_every_voice_field_has_an_edit() -> None:
    fields = {field.alias for field in VoiceModelSpec.model_fields.values()}
    assert fields == VOICE_EDITS.keys() | VOICE_REST


@pytest.mark.parametrize("field", VOICE_EDITS)
def test_an_edit_of_a_voice_keeps_the_pods(site: Site, awake: str, field: str) -> None:
    before = site.pods(awake)
    name = f"edited-{field.lower()}"
    site.apply(site.voice(name))
    site.wait(f"vmodel/{name}", "jsonpath={.status.phase}=Resident")
    spec, reason = VOICE_EDITS[field]
    if field == "residency":
        site.kubectl("delete", "vmodel", name)  # a resident voice stays resident until its TTL has passed
        site.apply(site.voice(name, **spec))
    else:
        edit(site, "vmodel", name, spec)
    site.wait(f"vmodel/{name}", f"jsonpath={{.status.phase}}={reason}", timeout_s=20)
    if field in {"source", "options"}:
        assert site.condition("vmodel", name)["status"] == "True", "the previous content serves"
        assert site.condition("vmodel", name, "Degraded")["status"] == "True"
    edit(site, "vmodel", name, VOICE)
    site.wait(f"vmodel/{name}", "jsonpath={.status.phase}=Resident", timeout_s=20)
    site.wait(f"vmodel/{name}", "condition=Degraded=False", timeout_s=20)
    site.kubectl("delete", "vmodel", name)
    assert site.pods(awake) == before


def test_another_warm_up_text_reloads_the_model(site: Site, awake: str) -> None:
    before = site.pods(awake)
    site.apply(site.voice("warm"))
    site.wait("vmodel/warm", "jsonpath={.status.phase}=Resident")
    edit(site, "vmodel", "warm", VOICE | {"warmUpText": "Another sentence."})
    site.wait("vmodel/warm", "jsonpath={.status.phase}=Resident")
    (pod,) = before
    loads = [json.loads(line) for line in site.kubectl("logs", pod).splitlines() if '"warm"' in line]
    assert [load["generation"] for load in loads if load["event"] == "model_resident"] == [1, 2]
    assert site.pods(awake) == before


def test_other_voices_are_offered_without_a_reload(site: Site, awake: str) -> None:
    before = site.pods(awake)
    site.apply(site.voice("many"))
    site.wait("vmodel/many", "jsonpath={.status.phase}=Resident")
    offered = {"languages": ["en", "fr"], "voices": [{"name": "high", "language": "en-GB"}]}
    edit(site, "vmodel", "many", VOICE | offered)
    with site.orchestrator() as url:

        def found() -> dict[str, Any]:
            with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:  # noqa: S310  # it is http:
                models: list[dict[str, Any]] = json.load(answer)["models"]
            return next(each for each in models if each["id"] == "many")

        site.until(lambda: found()["languages"] == ["en", "fr"], "the languages to be offered", timeout_s=10)
        assert found()["voices"] == [{"name": "high", "language": "en-GB"}]
    edit(site, "vmodel", "many", VOICE | {"voices": [{"name": "missing"}]})
    site.wait("vmodel/many", "condition=Degraded=True", timeout_s=20)
    (worker,) = site.get("vmodel", "many")["status"]["workers"]
    assert worker["reason"] == "UnknownVoice"
    assert "'missing'" in worker["message"]
    assert "low, high" in worker["message"]
    (pod,) = before
    loads = [json.loads(line) for line in site.kubectl("logs", pod).splitlines() if '"many"' in line]
    assert [load["generation"] for load in loads if load["event"] == "model_resident"] == [1]
    site.kubectl("delete", "vmodel", "many")
    assert site.pods(awake) == before


def test_memory_is_compared_with_the_budget(site: Site) -> None:
    site.apply(site.pool("small", replicas=1, memoryBudget="1Gi"))
    site.wait_ready("small", workers=1)
    site.kubectl("label", "ttspool", "small", "tier=small")
    big = {"poolSelector": {"matchLabels": {"tier": "small"}}, "memory": "2Gi"}
    site.apply(site.voice("big", **big))
    site.wait("vmodel/big", "jsonpath={.status.phase}=TooLarge", timeout_s=20)
    edit(site, "vmodel", "big", VOICE | big | {"memory": "512Mi"})
    site.wait("vmodel/big", "jsonpath={.status.phase}=Resident", timeout_s=20)
    site.kubectl("delete", "vmodel/big", "ttspool/small")
