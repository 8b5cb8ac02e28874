"""Drift: another client's edit of an owned Deployment is reverted at once, by one apply."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from voiceplane_common.kube.api import Api
from voiceplane_common.kube.names import API_VERSION

from bench import operator as bench
from tests.support.chart import NAMESPACE
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.control_plane import ControlPlane

# The first one may build Kubernetes.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

POOL = "pool-0"
DEPLOYMENT = f"deployment/{POOL}-tts"
# Resyncs are 600 s apart, so a change within this time is not theirs.
AT_ONCE_S = 10.0
MIRRORED = "mirror.example/worker:1"
RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE", "UPDATE"]}
EDITS = {
    "image": ("set", "image", DEPLOYMENT, "*=another:2"),
    "value of a variable": ("set", "env", DEPLOYMENT, "VOICEPLANE_WORKER__MAX_SESSIONS=1"),
    "no more variable": ("set", "env", DEPLOYMENT, "VOICEPLANE_WORKER__MAX_SESSIONS-"),
    "grace": ("patch", DEPLOYMENT, "-p", '{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}'),
    "size": ("scale", DEPLOYMENT, "--replicas=5"),
}


class Operated(NamedTuple):
    """A pool with a running operator."""

    plane: ControlPlane
    api: Api
    metrics_port: int

    async def spec(self) -> dict[str, Any]:
        """The Deployment's spec."""
        spec: dict[str, Any] = (await self.api.get("apps/v1", "Deployment", NAMESPACE, f"{POOL}-tts"))["spec"]
        return spec

    async def edit(self, *arguments: str) -> None:
        await asyncio.to_thread(self.plane.kubectl, *arguments, "--namespace", NAMESPACE)

    async def rests(self) -> None:
        """Wait until the operator makes no more API calls; one that fights another client never stops."""
        async with asyncio.timeout(3 * AT_ONCE_S):
            await bench.until_at_rest(self.metrics_port)

    async def reverts(self) -> int:
        """How often it applied a Deployment because another client had changed it."""
        samples = await bench.samples(self.metrics_port)
        return int(samples.get('voiceplane_operator_drift_total{kind="Deployment"}', 0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operated(plane: ControlPlane) -> AsyncIterator[Operated]:
    account = await asyncio.to_thread(bench.prepare, plane)
    api = await Api.connect(str(plane.kubeconfig), field_manager="test")
    port = free_port()
    await api.apply(bench.pool(0))
    async with bench.operator(account, port):

        async def is_made() -> bool:
            return bool((await api.list("apps/v1", "Deployment", NAMESPACE))["items"])

        await bench.until(is_made)
        operated = Operated(plane, api, port)
        await operated.rests()
        yield operated
    await api.close()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_an_edit_is_reverted_by_one_apply(operated: Operated, edit: tuple[str, ...]) -> None:
    before, put_back = await operated.spec(), await operated.reverts()
    await operated.edit(*edit)

    async def is_as_before() -> bool:
        return await operated.reverts() > put_back and await operated.spec() == before

    async with asyncio.timeout(AT_ONCE_S):
        await bench.until(is_as_before)
    await operated.rests()
    assert await operated.reverts() == put_back + 1


async def test_fields_of_other_managers_stay(operated: Operated) -> None:
    put_back = await operated.reverts()
    await operated.edit("rollout", "restart", DEPLOYMENT)
    await operated.rests()
    assert await operated.reverts() == put_back + 1
    assert "kubectl.kubernetes.io/restartedAt" in (await operated.spec())["template"]["metadata"]["annotations"]


async def mirror_images(plane: ControlPlane) -> None:
    """Make the API server rewrite images of Deployments to a mirror, as many clusters do, and wait until it does."""
    name = {"metadata": {"name": "mirror"}}
    kind = {"apiVersion": "admissionregistration.k8s.io/v1"}
    patch = f'[JSONPatch{{op: "replace", path: "/spec/template/spec/containers/0/image", value: "{MIRRORED}"}}]'
    policy = {
        "matchConstraints": {"resourceRules": [RULE]},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
    }
    objects = [
        kind | name | {"kind": "MutatingAdmissionPolicy", "spec": policy},
        kind | name | {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "mirror"}},
    ]
    for each in objects:
        await asyncio.to_thread(plane.kubectl, "apply", "-f", "-", stdin=json.dumps(each))
    trial = ("create", "deployment", "trial", "--image=worker:1", "--dry-run=server", "-o", "json")

    async def is_mirrored() -> bool:
        return MIRRORED in await asyncio.to_thread(plane.kubectl, *trial)

    await bench.until(is_mirrored)


# The last test: from here on the API server rewrites Deployments.
async def test_defaulted_fields_are_no_drift(operated: Operated) -> None:
    await mirror_images(operated.plane)
    put_back = await operated.reverts()
    pool = bench.pool(0)
    pool["spec"]["sessionsPerWorker"] = 3
    generation = (await operated.api.apply(pool))["metadata"]["generation"]

    async def is_seen() -> bool:
        status = (await operated.api.get(API_VERSION, "TTSWorkerPool", NAMESPACE, POOL))["status"]
        return bool(status["observedGeneration"] == generation)

    await bench.until(is_seen)
    await operated.rests()
    before = await operated.spec()
    assert before["template"]["spec"]["containers"][0]["image"] == MIRRORED
    assert await operated.reverts() == put_back
    await test_an_edit_is_reverted_by_one_apply(operated, EDITS["value of a variable"])
    assert (await operated.spec()) == before
