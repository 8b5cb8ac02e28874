"""The rendered chart: minimal RBAC, restricted pods, one registry for all images, and validated values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster.binaries import binary
from tests.e2e.cluster.commands import attempt
from tests.support.chart import CHART, NAMESPACE, rendered, try_rendering
from tests.support.control_plane import ControlPlane

# The first one may build helm.
pytestmark = pytest.mark.timeout(3600)

OPEN: dict[str, Any] = {"orchestrator": {"auth": {"allowAnonymous": True}}}
ALL: dict[str, Any] = {
    "orchestrator": {
        "auth": {"apiKeys": ["sesame"]},
        "replicas": 2,
        "ingress": {"enabled": True, "host": "voice.example.com", "tlsSecretName": "tls", "className": "nginx"},
        "config": {"limits": {"max_sessions": 8}},
    },
    "networkPolicy": {"enabled": True, "clients": [{"podSelector": {}}], "monitoring": [{"namespaceSelector": {}}]},
    "pools": {"cpu": {"defaultModel": "en_US-joe-medium", "cache": {"claimName": "packs"}}},
    "prefetch": {"enabled": True},
    "models": {"joe": {"family": "piper", "modelId": "en_US-joe-medium"}},
}


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"] for each in of_kind(objects, "Deployment", "Job")]


def test_no_role_has_wildcards_or_access_to_secrets() -> None:
    roles = of_kind(rendered(ALL), "ClusterRole", "Role")
    assert len(roles) == 3
    for role in roles:
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in words
            assert not {"pods/exec", "secrets", "pods/attach"} & set(rule["resources"])
            assert "delete" not in rule["verbs"], "the garbage collector deletes a pool's objects"


def test_a_namespaced_operator_has_no_cluster_role() -> None:
    objects = rendered(OPEN | {"operator": {"namespaces": ["a", "b"]}, "crds": {"upgrade": False}})
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    roles = [role["metadata"] for role in of_kind(objects, "Role")]
    assert {(role["namespace"], role["name"]) for role in roles} == {
        ("a", "vp-voiceplane-operator"),
        ("b", "vp-voiceplane-operator"),
        ("speech", "vp-voiceplane-orchestrator"),
    }


def test_pods_have_a_restricted_security_context() -> None:
    specs = pods(rendered(ALL))
    assert len(specs) == 4
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
    for account in of_kind(rendered(ALL), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False, "only a pod that needs a token mounts one"


def test_one_registry_serves_every_image() -> None:
    values = ALL | {"global": {"imageRegistry": "mirror.example.com:5000", "imagePullSecrets": ["key"]}}
    objects = rendered(values)
    images = [container["image"] for spec in pods(objects) for container in spec["containers"]]
    images += [pool["spec"]["image"] for pool in of_kind(objects, "TTSWorkerPool")]
    assert len(images) == 5
    assert all(image.startswith("mirror.example.com:5000/voiceplane/") for image in images), images
    holders = [*pods(objects), *(pool["spec"] for pool in of_kind(objects, "TTSWorkerPool"))]
    assert all(holder["imagePullSecrets"] == [{"name": "key"}] for holder in holders)


def test_a_digest_replaces_the_tag() -> None:
    digest = "sha256:" + "0" * 64
    objects = rendered(OPEN | {"operator": {"image": {"digest": digest, "tag": "ignored"}}})
    assert f"voiceplane/operator@{digest}" in [each["containers"][0]["image"] for each in pods(objects)]


def test_optional_parts_are_off() -> None:
    kinds = {each["kind"] for each in rendered(OPEN)}
    assert not kinds & {"NetworkPolicy", "PodMonitor", "Ingress", "PodDisruptionBudget", "Secret", "TTSWorkerPool"}
    assert {"NetworkPolicy", "Ingress", "PodDisruptionBudget", "Secret", "TTSWorkerPool"} <= {
        each["kind"] for each in rendered(ALL)
    }
    assert len(of_kind(rendered(OPEN | {"metrics": {"podMonitor": {"enabled": True}}}), "PodMonitor")) == 3


def test_the_chart_has_the_crds_of_this_version() -> None:
    for name in ("voicemodels", "ttsworkerpools"):
        assert (CHART / "crds" / f"{name}.yaml").read_text() == (CHART.parents[1] / "crds" / f"{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "orchestrator.auth:"),
        (OPEN | {"opreator": {}}, "additional properties 'opreator' not allowed"),
        (OPEN | {"operator": {"workers": 0}}, "'/operator/workers': minimum"),
        (OPEN | {"operator": {"logLevel": "loud"}}, "'/operator/logLevel'"),
        (OPEN | {"operator": {"namespaces": ["Speech"]}}, "'/operator/namespaces/0'"),
        (OPEN | {"operator": {"image": {"digest": "abc"}}}, "'/operator/image/digest'"),
        (OPEN | {"operator": {"image": {"pullPolicy": "Sometimes"}}}, "'/operator/image/pullPolicy'"),
        ({"orchestrator": {"auth": {"apiKeys": [""]}}}, "'/orchestrator/auth/apiKeys/0'"),
        ({"orchestrator": OPEN["orchestrator"] | {"service": {"port": 0}}}, "'/orchestrator/service/port'"),
        ({"orchestrator": OPEN["orchestrator"] | {"service": {"type": "Magic"}}}, "'/orchestrator/service/type'"),
        (OPEN | {"pools": {"cpu": "two"}}, "'/pools/cpu'"),
        (OPEN | {"global": {"imagePullSecrets": [{"name": "key"}]}}, "'/global/imagePullSecrets/0'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(values: dict[str, Any], named: str) -> None:
    result = try_rendering(values)
    assert result.returncode != 0
    assert named in result.stderr


def test_helm_lint_passes() -> None:
    result = attempt([binary("helm"), "lint", "--strict", CHART, "-f", "-"], stdin=json.dumps(OPEN))
    assert result.returncode == 0, result.stdout


def test_the_api_server_accepts_all_manifests() -> None:
    with ControlPlane(controllers=True) as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        plane.define()
        for values in (OPEN, ALL, ALL | {"operator": {"namespaces": ["speech"]}}):
            objects = rendered(values)
            items = {"apiVersion": "v1", "kind": "List", "items": objects}
            result = plane.try_kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(items))
            assert result.returncode == 0, result.stderr
            assert result.stdout.count("created (server dry run)") == len(objects)
