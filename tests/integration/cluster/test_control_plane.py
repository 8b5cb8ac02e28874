"""What a test may expect of an API server of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first test may have to build the API server.
pytestmark = pytest.mark.timeout(1800)

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cups.test.voiceplane.dev}
spec:
  group: test.voiceplane.dev
  scope: Namespaced
  names: {plural: cups, singular: cup, kind: Cup}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer, minimum: 1}}}}
"""
CUP = """
apiVersion: test.voiceplane.dev/v1
kind: Cup
metadata: {name: mine, namespace: default}
spec: {size: SIZE}
"""


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=True) as control_plane:
        yield control_plane


def test_custom_resources_are_validated_and_dry_runs_store_nothing(control_plane: ControlPlane) -> None:
    control_plane.kubectl("apply", "-f", "-", stdin=CRD)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/cups.test.voiceplane.dev")
    refused = control_plane.try_kubectl("apply", "-f", "-", stdin=CUP.replace("SIZE", "0"))
    assert "spec.size in body should be greater than or equal to 1" in refused.stderr
    control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=CUP.replace("SIZE", "1"))
    assert control_plane.kubectl("get", "cups", "-o", "name") == ""


def test_a_service_account_may_do_what_rbac_grants_and_no_more(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "serviceaccount", "reader")
    control_plane.kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    control_plane.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    kubeconfig = f"--kubeconfig={control_plane.kubeconfig_of('reader')}"
    control_plane.kubectl(kubeconfig, "get", "pods")
    assert "cannot list resource" in control_plane.try_kubectl(kubeconfig, "get", "secrets").stderr


def test_controllers_make_pods_of_a_deployment(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "deployment", "idle", "--image=idle", "--replicas=2")
    control_plane.kubectl("wait", "--for=jsonpath={.status.replicas}=2", "--timeout=20s", "deployment/idle")
    assert len(control_plane.kubectl("get", "pods", "-l", "app=idle", "-o", "name").split()) == 2


def test_what_etcd_holds_outlives_the_api_server(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "configmap", "kept")
    control_plane.restart_api()
    assert control_plane.kubectl("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"


def test_it_leaves_nothing_behind() -> None:
    began = time.monotonic()
    with ControlPlane() as control_plane:
        daemons = [control_plane.server.etcd, control_plane.server.api]
        assert all(daemon.running() for daemon in daemons)
    assert not any(daemon.running() for daemon in daemons)
    assert not control_plane.kubeconfig.exists()
    assert time.monotonic() - began < 60
