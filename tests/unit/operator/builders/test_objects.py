"""The manifests of the objects that a pool owns."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_operator.builders.objects import deployment, owned_objects, resource_claim_template, service
from voiceplane_operator.builders.pod import pod_template, template_hash

from tests.unit.operator.objects import a_pool

SELECTOR = {"app.kubernetes.io/name": "voiceplane-worker", "voiceplane.dev/pool": "p"}
LABELS = SELECTOR | {
    "app.kubernetes.io/managed-by": "voiceplane-operator",
    "app.kubernetes.io/part-of": "voiceplane",
    "app.kubernetes.io/component": "worker",
}
OWNER = {
    "apiVersion": "voiceplane.dev/v1alpha1",
    "kind": "TTSWorkerPool",
    "name": "p",
    "uid": "uid-p",
    "controller": True,
    "blockOwnerDeletion": True,
}
CLAIM = {"device": "cuda", "gpu": {"claim": {"deviceClassName": "gpu.nvidia.com"}}}


def owned(**spec: Any) -> dict[str, dict[str, Any]]:
    """The objects of a pool, by kind."""
    return {each["kind"]: each for each in owned_objects(a_pool(**spec), models_file="the models", replicas=3)}


def test_the_deployment_is_applied_last() -> None:
    assert list(owned()) == ["ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget", "Deployment"]
    assert list(owned(**CLAIM))[-2:] == ["ResourceClaimTemplate", "Deployment"]


def test_each_has_the_pools_name_labels_and_owner() -> None:
    versions = {kind: each["apiVersion"] for kind, each in owned(**CLAIM).items()}
    assert versions == {
        "ServiceAccount": "v1",
        "ConfigMap": "v1",
        "Service": "v1",
        "PodDisruptionBudget": "policy/v1",
        "ResourceClaimTemplate": "resource.k8s.io/v1",
        "Deployment": "apps/v1",
    }
    for each in owned(**CLAIM).values():
        metadata = {key: value for key, value in each["metadata"].items() if key != "annotations"}
        assert metadata == {"name": "p-tts", "namespace": "speech", "labels": LABELS, "ownerReferences": [OWNER]}


def test_a_deployment_runs_the_pools_pods() -> None:
    pool = a_pool()
    made = deployment(pool, replicas=3)
    assert made["spec"] == {
        "replicas": 3,
        "selector": {"matchLabels": SELECTOR},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": 600,
        "template": pod_template(pool),
    }
    assert made["metadata"]["annotations"] == {"voiceplane.dev/template-hash": template_hash(pod_template(pool))}
    assert SELECTOR.items() <= made["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("rollout", "surge", "unavailable"),
    [({}, 1, 0), ({"strategy": "surge"}, 1, 0), ({"strategy": "recreate"}, 0, 1)],
)
def test_a_rollout_takes_a_spare_gpu_or_a_running_worker(rollout: dict[str, Any], surge: int, unavailable: int) -> None:
    spec = deployment(a_pool(rollout=rollout), replicas=1)["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


@pytest.mark.parametrize(("replicas", "expected"), [(0, {"replicas": 0}), (7, {"replicas": 7}), (None, {})])
def test_replicas_are_set_unless_another_scaler_owns_them(replicas: int | None, expected: dict[str, int]) -> None:
    spec = deployment(a_pool(), replicas=replicas)["spec"]
    assert {key: value for key, value in spec.items() if key == "replicas"} == expected


def test_the_service_is_headless_and_names_both_ports() -> None:
    assert service(a_pool())["spec"] == {
        "clusterIP": "None",
        "selector": SELECTOR,
        "ports": [
            {"name": "grpc", "port": 50051, "targetPort": "grpc", "protocol": "TCP"},
            {"name": "metrics", "port": 9090, "targetPort": "metrics", "protocol": "TCP"},
        ],
    }
    (container,) = pod_template(a_pool())["spec"]["containers"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {"grpc": 50051, "metrics": 9090}


def test_workers_read_the_models_file_of_the_config_map() -> None:
    made = owned()
    assert made["ConfigMap"]["data"] == {"models.yaml": "the models"}
    pod = made["Deployment"]["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if each["name"] == "models")
    assert volume["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    expected = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert expected["VOICEPLANE_WORKER__MODELS_FILE"] == "/etc/voiceplane/models/models.yaml"
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "models")
    assert mount["mountPath"] == "/etc/voiceplane/models"


@pytest.mark.parametrize(("rollout", "expected"), [({}, 1), ({"maxUnavailable": 2}, 2), ({"maxUnavailable": 0}, 0)])
def test_the_disruption_budget_limits_a_drain_of_nodes(rollout: dict[str, Any], expected: int) -> None:
    assert owned(rollout=rollout)["PodDisruptionBudget"]["spec"] == {
        "maxUnavailable": expected,
        "selector": {"matchLabels": SELECTOR},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def test_the_service_account_has_no_token_and_is_that_of_the_pods() -> None:
    made = owned()
    assert made["ServiceAccount"]["automountServiceAccountToken"] is False
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == made["ServiceAccount"]["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("spec", [{}, {"device": "cuda"}, {"device": "cuda", "gpu": {"count": 2}}])
def test_without_a_claim_there_is_no_claim_template(spec: dict[str, Any]) -> None:
    assert resource_claim_template(a_pool(**spec)) is None


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({}, {"count": 1}),
        ({"count": 2}, {"count": 2}),
        (
            {"selectors": ["device.driver == 'a'", "true"]},
            {
                "count": 1,
                "selectors": [
                    {"cel": {"expression": "device.driver == 'a'"}},
                    {"cel": {"expression": "true"}},
                ],
            },
        ),
    ],
)
def test_a_claim_asks_for_devices_of_its_class(claim: dict[str, Any], expected: dict[str, Any]) -> None:
    made = owned(device="cuda", gpu={"claim": {"deviceClassName": "gpu.nvidia.com"} | claim})
    exactly = {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount"} | expected
    template = made["ResourceClaimTemplate"]
    assert template["spec"] == {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}}
    (claimed,) = made["Deployment"]["spec"]["template"]["spec"]["resourceClaims"]
    assert claimed["resourceClaimTemplateName"] == template["metadata"]["name"]


def test_objects_share_no_mutable_parts() -> None:
    made = owned()
    made["Service"]["metadata"]["labels"]["spoilt"] = "yes"
    made["Service"]["spec"]["selector"]["spoilt"] = "yes"
    assert owned()["Service"]["metadata"]["labels"] == LABELS
    assert made["Deployment"]["metadata"]["labels"] == LABELS
    assert made["Deployment"]["spec"]["selector"]["matchLabels"] == SELECTOR
