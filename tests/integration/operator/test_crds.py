"""The custom resources on a real API server: refused input and its messages, defaults, columns, scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.operator.invalid import CASES, Invalid
from tests.support.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first test may have to build the API server.
pytestmark = pytest.mark.timeout(1800)

CRDS = Path(__file__).parents[3] / "crds"
VALID: dict[str, dict[str, Any]] = {
    "VoiceModel": {"family": "piper"},
    "TTSWorkerPool": {"image": "voiceplane/worker:1"},
}
# Transition rules: a new object cannot violate them.
IMMUTABLE = {
    "family": "family is immutable: delete the VoiceModel and create another one",
    "modelId": "modelId is immutable: delete the VoiceModel and create another one",
}


def manifest(kind: str, spec: dict[str, Any], *, name: str = "example") -> dict[str, Any]:
    fields = {key: value for key, value in (VALID[kind] | spec).items() if value is not None}
    if "source" in fields:
        fields["source"] = {key: value for key, value in fields["source"].items() if value is not None}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "voiceplane.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": fields}


def rules_of(schema: dict[str, Any]) -> Iterator[str]:
    """The messages of all rules in a schema."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for each in schema.get("properties", {}).values():
        yield from rules_of(each)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from rules_of(schema[key])


def definitions() -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(CRDS.glob("*.yaml"))]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane() as control_plane:
        applied = control_plane.try_kubectl("apply", "--server-side", "-f", str(CRDS))
        assert applied.returncode == 0, applied.stderr
        assert applied.stderr == "", "a warning"
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRDS))
        yield control_plane


def dry_run(cluster: ControlPlane, body: dict[str, Any]) -> dict[str, Any]:
    arguments = ("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-")
    created: dict[str, Any] = json.loads(cluster.kubectl(*arguments, stdin=json.dumps(body)))
    return created


@pytest.fixture
def stored(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster that has one object of each kind; the pool has one worker."""
    for kind, spec in (("VoiceModel", {"modelId": "joe"}), ("TTSWorkerPool", {"replicas": 1})):
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest(kind, spec)))
    yield cluster
    cluster.kubectl("delete", "voicemodels,ttsworkerpools", "example")


def test_crds_are_structural(cluster: ControlPlane) -> None:
    for definition in json.loads(cluster.kubectl("get", "crds", "-o", "json"))["items"]:
        conditions = {each["type"]: each["status"] for each in definition["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize(("kind", "case"), CASES.values(), ids=CASES)
def test_invalid_manifests_are_refused_with_field_and_remedy(cluster: ControlPlane, kind: str, case: Invalid) -> None:
    body = json.dumps(manifest(kind, case.spec, name=case.name))
    refused = cluster.try_kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=body)
    assert refused.returncode == 1
    lines = refused.stderr.splitlines()
    said = [line for line in lines if line.endswith(case.message) and case.field in line]
    assert said, refused.stderr
    assert any(f"{case.field}: " in line for line in said) or not case.field, refused.stderr


@pytest.mark.parametrize(("field", "value"), [("family", "kokoro"), ("modelId", "jane"), ("modelId", None)])
def test_family_and_model_id_are_immutable(stored: ControlPlane, field: str, value: str | None) -> None:
    patch = json.dumps({"spec": {field: value}})
    refused = stored.try_kubectl("patch", "vmodel", "example", "--type=merge", "-p", patch)
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith(IMMUTABLE[field])


def test_every_rule_has_an_invalid_manifest() -> None:
    schemas = [each["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for each in definitions()]
    rules = {message for schema in schemas for message in rules_of(schema)}
    broken = {case.message for _, case in CASES.values()} | set(IMMUTABLE.values())
    assert rules - broken == set()


def test_a_minimal_pool_gets_defaults(cluster: ControlPlane) -> None:
    assert dry_run(cluster, manifest("TTSWorkerPool", {}))["spec"] == {
        "image": "voiceplane/worker:1",
        "imagePullPolicy": "IfNotPresent",
        "device": "cpu",
        "ttlSeconds": 600,
        "minResidencySeconds": 120,
        "residentCap": 3,
        "maxParallelLoads": 1,
        "sessionsPerWorker": 16,
        "drainTimeoutSeconds": 60,
        "rollout": {"strategy": "surge", "maxUnavailable": 1},
        "prefetch": False,
    }


def test_a_minimal_model_gets_defaults(cluster: ControlPlane) -> None:
    assert dry_run(cluster, manifest("VoiceModel", {}))["spec"] == {
        "family": "piper",
        "residency": {"policy": "preload"},
    }


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VoiceModel", {"source": {"uri": "s3://voices/joe", "sha256": "a" * 64, "secretRef": {"name": "s3.keys"}}}),
        ("VoiceModel", {"source": {"uri": "gs://voices/joe", "include": ["*.onnx", "ref/"], "exclude": ["*.pt"]}}),
        ("VoiceModel", {"source": {"uri": "az://voices/joe"}}),
        ("VoiceModel", {"family": "a_plugins_family2"}),
        ("VoiceModel", {"family": "csm", "lora": {"baseModelRef": {"name": "b.2"}, "source": {"uri": "hf://a/b"}}}),
        ("VoiceModel", {"poolSelector": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}),
        ("VoiceModel", {"poolSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}}),
        ("VoiceModel", {"memory": "1500Mi", "languages": ["en-US"], "voices": [{"name": "joe", "language": "en"}]}),
        ("VoiceModel", {"residency": {"policy": "onDemand", "ttlSeconds": 60, "minResidencySeconds": 60}}),
        ("TTSWorkerPool", {"device": "cuda", "gpu": {"resourceName": "nvidia.com/mig-1g.10gb", "count": 2}}),
        ("TTSWorkerPool", {"device": "cuda", "gpu": {"claim": {"deviceClassName": "gpu.nvidia.com"}}}),
        ("TTSWorkerPool", {"autoscaling": {"minReplicas": 0, "maxReplicas": 4, "targetQueueDepth": 2}}),
        ("TTSWorkerPool", {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 2}}}),
        ("TTSWorkerPool", {"cache": {"hostPath": "/var/lib/voiceplane", "maxSize": "20Gi"}, "sharedMemory": "1Gi"}),
        ("TTSWorkerPool", {"prefetch": True}),
        ("TTSWorkerPool", {"podTemplate": {"spec": {"hostIPC": True}}, "tolerations": [{"operator": "Exists"}]}),
        ("TTSWorkerPool", {"residentCap": 2, "defaultModel": "a", "preload": ["a", "b"]}),
    ],
)
def test_valid_manifests_are_kept_as_they_are(cluster: ControlPlane, kind: str, spec: dict[str, Any]) -> None:
    accepted = dry_run(cluster, manifest(kind, spec))["spec"]
    for field, value in spec.items():
        if isinstance(value, dict):
            assert accepted[field].items() >= {k: v for k, v in value.items() if not isinstance(v, dict)}.items()
        else:
            assert accepted[field] == value


def test_a_pool_is_scaled_and_shows_its_selector(stored: ControlPlane) -> None:
    status = {
        "status": {"replicas": 1, "readyReplicas": 1, "phase": "Ready", "selector": "voiceplane.dev/pool=example"}
    }
    stored.kubectl("patch", "ttspool", "example", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    stored.kubectl("scale", "ttspool/example", "--replicas=3")
    path = "/apis/voiceplane.dev/v1alpha1/namespaces/default/ttsworkerpools/example/scale"
    scale = json.loads(stored.kubectl("get", "--raw", path))
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 1, "selector": "voiceplane.dev/pool=example"}
    heads, row = (line.split() for line in stored.kubectl("get", "ttspool").splitlines())
    assert dict(zip(heads, row, strict=False)).items() >= {"DEVICE": "cpu", "READY": "1", "PHASE": "Ready"}.items()
    refused = stored.try_kubectl("scale", "ttspool/example", "--replicas=1001")
    assert "should be less than or equal to 1000" in refused.stderr


def test_kubectl_get_shows_a_models_state(stored: ControlPlane) -> None:
    status = {"status": {"modelId": "joe", "phase": "Loading", "residency": "1/2"}}
    stored.kubectl("patch", "vmodel", "example", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    shown = stored.kubectl("get", "voiceplane", "--no-headers").splitlines()
    assert any(line.split()[:2] == ["voicemodel.voiceplane.dev/example", "piper"] and "1/2" in line for line in shown)


@pytest.mark.parametrize("field", ["vmodel.spec.source.sha256", "vmodel.status.workers", "ttspool.spec.gpu.claim"])
def test_fields_are_explained(cluster: ControlPlane, field: str) -> None:
    assert "<empty>" not in cluster.kubectl("explain", field)
