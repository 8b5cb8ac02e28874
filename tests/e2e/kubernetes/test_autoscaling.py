"""A pool scales up with its sessions, to zero without any, and up again for the next one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bench.websocket import Socket
from tests.support.playing_client import PlayingClient

if TYPE_CHECKING:
    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

TEXT = "One two three. Four five six. Seven eight nine. Ten eleven twelve. Thirteen fourteen. The end of it."
TO_ZERO = {"minReplicas": 0, "maxReplicas": 3, "targetSessionsPerWorker": 1, "scaleDownDelaySeconds": 1}


async def test_a_session_scales_a_pool_up_from_zero(site: Site) -> None:
    site.apply(site.pool("sleepy", autoscaling=TO_ZERO))
    site.wait("ttspool/sleepy", "jsonpath={.status.phase}=ScaledToZero")
    assert not site.items("pods", "voiceplane.dev/pool=sleepy")
    with site.orchestrator() as server:
        async with Socket.open(server, "/v1/speak") as socket:
            listener = PlayingClient(socket)
            await socket.send(type="text", text=TEXT, end=True)
            await listener.until("state", state="no_worker")
            await listener.until("done", result="complete")
            assert len(listener.frames) > 100
            assert site.get("ttspool", "sleepy")["metadata"]["annotations"]["voiceplane.dev/demand-at"]
            async with Socket.open(server, "/v1/speak") as second:
                other = PlayingClient(second)
                await second.send(type="text", text=TEXT, end=True)
                speaking = asyncio.ensure_future(other.until("done", result="complete"))
                await socket.send(type="text", text=TEXT, end=True)
                grown = asyncio.to_thread(site.wait, "ttspool/sleepy", "jsonpath={.status.replicas}=2")
                await asyncio.gather(speaking, grown, listener.until("done", result="complete"))
    # The demand counts for two minutes, so the pool keeps one worker for that time.
    site.kubectl("annotate", "ttspool", "sleepy", "voiceplane.dev/demand-at-")
    site.wait("ttspool/sleepy", "jsonpath={.status.phase}=ScaledToZero")
    site.kubectl("delete", "ttspool", "sleepy")


async def test_a_session_waits_for_a_model_of_a_pool_at_zero(site: Site) -> None:
    site.apply(site.pool("awake", replicas=1), site.pool("asleep", autoscaling=TO_ZERO))
    site.kubectl("label", "ttspool", "asleep", "tier=asleep")
    site.apply(site.voice("rare", poolSelector={"matchLabels": {"tier": "asleep"}}))
    site.wait_ready("awake", workers=1)
    with site.orchestrator() as server:
        async with Socket.open(server, "/v1/speak", model="rare") as socket:
            listener = PlayingClient(socket)
            await socket.send(type="text", text=TEXT, end=True)
            await listener.until("done", result="complete")
        assert site.get("vmodel", "rare")["status"]["phase"] == "Resident"
        with pytest.raises(RuntimeError, match="no worker knows the model 'unheard-of'"):
            async with Socket.open(server, "/v1/speak", model="unheard-of"):
                pass
    site.kubectl("delete", "ttspool/awake", "ttspool/asleep", "vmodel/rare")


async def test_a_lora_is_attached_to_its_base_without_a_restart(site: Site) -> None:
    site.apply(site.pool("plain", replicas=1, residentCap=4), site.voice("base"))
    site.wait("vmodel/base", "jsonpath={.status.residency}=1/1")
    before = site.pods("plain")
    source = site.voice("base")["spec"]["source"]
    adapter = site.voice("adapter")
    adapter["spec"] = {"family": "mock", "lora": {"baseModelRef": {"name": "base"}, "source": source}}
    site.apply(adapter)
    site.wait("vmodel/adapter", "jsonpath={.status.residency}=1/1")
    assert site.pods("plain") == before
    site.kubectl("delete", "vmodel/adapter", "vmodel/base", "ttspool/plain")
