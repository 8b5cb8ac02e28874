"""Processes that die, and objects that are wiped, drained or deleted while in use: everything recovers by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from bench.websocket import Socket
from tests.e2e.kubernetes.site import OPERATOR
from tests.support.playing_client import PlayingClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

TEXT = "One two three. Four five six. Seven eight nine. Ten eleven twelve. Thirteen fourteen. The end of it."


@pytest.fixture(scope="module")
def pool(site: Site) -> str:
    """Two workers with the mock voice, and one more voice."""
    # With its own process namespace, a worker would be process 1, which cannot be killed from inside.
    template = {"spec": {"shareProcessNamespace": True}}
    site.apply(site.pool("mock", replicas=2, residentCap=8, podTemplate=template), site.voice("steady"))
    site.wait_ready("mock", workers=2)
    site.wait("vmodel/steady", "jsonpath={.status.residency}=2/2")
    return "mock"


@contextlib.contextmanager
def without_operator(site: Site) -> Iterator[None]:
    """No operator runs during the test."""
    site.kubectl("scale", OPERATOR, "--replicas=0")
    try:
        site.until(lambda: not site.items("pods", "app.kubernetes.io/name=voiceplane-operator"), "the operator to end")
        yield
    finally:
        site.kubectl("scale", OPERATOR, "--replicas=1")
        site.kubectl("rollout", "status", OPERATOR, "--timeout=60s")


async def test_a_killed_operator_finishes_its_work_after_a_restart(site: Site, pool: str) -> None:
    before = site.pods(pool)
    names = [f"half-{number}" for number in range(5)]
    site.apply(*(site.voice(name) for name in names))
    site.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=voiceplane-operator", "--grace-period=0", "--force")
    for name in names:
        site.wait(f"vmodel/{name}", "jsonpath={.status.residency}=2/2")
    site.kubectl("delete", "vmodel", *names)
    site.until(lambda: not site.resident(pool) & set(names), "the voices to go")
    assert site.pods(pool) == before


async def test_a_deletion_without_an_operator_is_reconciled_later(site: Site, pool: str) -> None:
    site.apply(site.voice("orphan"), site.pool("gone", replicas=1))
    site.wait("vmodel/orphan", "jsonpath={.status.residency}=3/3")
    with without_operator(site):
        # Nothing blocks a deletion: both return at once, and the pool's objects are garbage-collected.
        site.kubectl("delete", "vmodel/orphan", "ttspool/gone", "--timeout=10s")
        site.until(lambda: not site.items("all", "voiceplane.dev/pool=gone"), "what the pool owned to be collected")
    site.until(lambda: "orphan" not in site.resident(pool), "the voice to be unloaded")
    assert "steady" in site.resident(pool)


async def test_a_wiped_status_is_written_again(site: Site, pool: str) -> None:
    for kind, name in (("vmodel", "steady"), ("ttspool", pool)):
        wiped = '[{"op": "remove", "path": "/status"}]'
        site.kubectl("patch", kind, name, "--subresource=status", "--type=json", "-p", wiped)
    site.wait("vmodel/steady", "jsonpath={.status.residency}=2/2", timeout_s=10)
    site.wait(f"ttspool/{pool}", "condition=Ready=True", timeout_s=10)


async def test_a_killed_workers_session_is_rerouted(site: Site, pool: str) -> None:
    with site.orchestrator() as server:
        async with Socket.open(server, "/v1/speak", model="steady") as socket:
            listener = PlayingClient(socket)
            await socket.send(type="text", text=TEXT, end=True)
            await listener.until_frames(60)
            (victim,) = await asyncio.to_thread(site.busy_workers, pool, 1)
            await asyncio.to_thread(site.kubectl, "exec", victim, "--", "python3", "-c", KILL_WORKER)
            await listener.until("done", result="complete")
            assert listener.is_whole
            assert listener.has_received("rerouted")
    site.until(
        lambda: restarts(site, victim) == 1 and site.get("vmodel", "steady")["status"]["residency"] == "2/2",
        "the worker to come back with its voices",
    )
    site.kubectl("delete", "pod", victim)  # later tests must see no restart
    site.wait_ready(pool, workers=2)


KILL_WORKER = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").iterdir():
    if folder.name.isdecimal() and int(folder.name) != os.getpid():
        if b"bin/voiceplane-worker" in (folder / "cmdline").read_bytes():
            os.kill(int(folder.name), signal.SIGKILL)
"""


def restarts(site: Site, pod: str) -> int:
    return sum(each["restartCount"] for each in site.get("pod", pod)["status"].get("containerStatuses") or ())


async def test_a_voice_deleted_while_it_speaks_ends_its_sentence(site: Site, pool: str) -> None:
    site.apply(site.voice("leaving"))
    site.wait("vmodel/leaving", "jsonpath={.status.residency}=2/2")
    with site.orchestrator() as server:
        async with Socket.open(server, "/v1/speak", model="leaving") as socket:
            listener = PlayingClient(socket)
            await socket.send(type="text", text=TEXT, end=True)
            await listener.until_frames(60)
            await asyncio.to_thread(site.kubectl, "delete", "vmodel", "leaving", "--timeout=10s")
            await listener.until("done", result="complete")
            assert listener.is_whole
            assert not listener.has_received("rerouted")
    site.until(lambda: "leaving" not in site.resident(pool), "the voice to be unloaded")


async def test_a_failed_voice_reports_its_reason_once(site: Site, pool: str) -> None:
    site.apply(site.voice("broken", options={"fail_load": "true"}))
    site.wait("vmodel/broken", "condition=Degraded=True")
    condition = site.condition("vmodel", "broken")
    assert condition["status"] == "False"
    assert "is made to fail: remove options.fail_load" in condition["message"]
    assert [event["type"] for event in site.events("broken")].count("Warning") == 1
    site.patch("vmodel", "broken", {"spec": {"options": None}})
    site.wait("vmodel/broken", "jsonpath={.status.residency}=2/2", timeout_s=10)
    site.kubectl("delete", "vmodel", "broken")


async def test_two_voices_with_one_id_are_distinguished(site: Site, pool: str) -> None:
    site.apply(site.voice("older", modelId="contested"))
    site.wait("vmodel/older", "jsonpath={.status.residency}=2/2")
    site.until(lambda: next_second(site), "another second to begin")  # creation times are whole seconds
    site.apply(site.voice("younger", modelId="contested", options={"load_ms": "1"}))
    site.wait("vmodel/younger", "jsonpath={.status.phase}=DuplicateModelId")
    assert "the older VoiceModel older" in site.condition("vmodel", "younger")["message"]
    site.kubectl("delete", "vmodel", "older")
    site.wait("vmodel/younger", "jsonpath={.status.residency}=2/2")
    site.kubectl("delete", "vmodel", "younger")


_seconds = itertools.count()


def next_second(site: Site) -> bool:
    """Whether the API server's clock has reached another second than that of the object's creation."""
    name = f"clock-{next(_seconds)}"
    site.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    made = site.get("configmap", name)["metadata"]["creationTimestamp"]
    return bool(made > site.get("vmodel", "older")["metadata"]["creationTimestamp"])


async def test_a_drained_node_ends_no_session(site: Site, pool: str) -> None:
    node = site.items("pods", f"voiceplane.dev/pool={pool}")[0]["spec"]["nodeName"]
    with site.orchestrator() as server:
        async with Socket.open(server, "/v1/speak", model="steady") as socket:
            listener = PlayingClient(socket)
            await socket.send(type="text", text=TEXT, end=True)
            await listener.until_frames(60)
            try:
                # The disruption budget allows one eviction at a time; the replacement has no other node.
                selector = f"--pod-selector=voiceplane.dev/pool={pool}"
                drain = asyncio.to_thread(
                    site.kubectl.attempt, "drain", node, selector, "--delete-emptydir-data", "--timeout=8s"
                )
                drained, _ = await asyncio.gather(drain, listener.until("done", result="complete"))
                assert "evicting pod" in drained.stdout + drained.stderr
                assert listener.is_whole
                assert site.condition("ttspool", pool)["reason"] == "Unschedulable"
            finally:
                site.kubectl("uncordon", node)
    site.wait_ready(pool, workers=2)
