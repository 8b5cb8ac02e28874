"""Pools change under load: no session is interrupted, and the least busy worker is deleted first."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bench.websocket import Socket
from tests.support.playing_client import PlayingClient

if TYPE_CHECKING:
    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

SENTENCE = "One small step for a voice, and another one after it."
TALKERS = 4


@dataclass
class Load:
    """Sessions that speak one utterance after another until they are stopped.

    Attributes:
        utterances: That were heard whole.
        problems: Whatever was not as it should be.
    """

    server: str
    utterances: int = 0
    problems: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, name: int) -> None:
        """One session."""
        try:
            async with Socket.open(self.server, "/v1/speak") as socket:
                listener = PlayingClient(socket)
                while not self.enough.is_set():
                    listener.frames.clear()
                    await socket.send(type="text", text=SENTENCE, end=True)
                    done = await listener.until("done")
                    self._judge(name, done["result"], listener)
        except Exception as error:  # a session must not end by itself for any reason
            self.problems.append(f"session {name} ended: {error!r}")

    def _judge(self, name: int, result: str, listener: PlayingClient) -> None:
        if result != "complete" or not listener.is_whole:
            self.problems.append(f"session {name}: {result}, {len(listener.frames)} frames")
        if listener.has_received("rerouted"):
            self.problems.append(f"session {name}: rerouted")
        listener.events.clear()
        self.utterances += 1


async def test_a_rolling_update_drops_no_session_and_no_frame(site: Site) -> None:
    site.apply(site.pool("rolling", replicas=2, drainTimeoutSeconds=30))
    site.wait_ready("rolling", workers=2)
    before = site.pods("rolling")
    with site.orchestrator() as server:
        load = Load(server)
        async with asyncio.TaskGroup() as group:
            for number in range(TALKERS):
                group.create_task(load.talk(number))
            await asyncio.to_thread(roll, site)
            settled = load.utterances
            async with asyncio.timeout(60):
                while load.utterances < settled + 2 * TALKERS and not load.problems:  # noqa: ASYNC110 - counted elsewhere
                    await asyncio.sleep(0.05)
            load.enough.set()
    assert not load.problems, load.problems
    assert not before.keys() & site.pods("rolling").keys()
    print(f"{load.utterances} utterances of {TALKERS} sessions over a rolling update of 2 workers, none disturbed")
    site.kubectl("delete", "ttspool", "rolling")


def roll(site: Site) -> None:
    """Replace all pods, by an edit of the template."""
    annotated = {"spec": {"podTemplate": {"metadata": {"annotations": {"example.com/rolled": "yes"}}}}}
    site.patch("ttspool", "rolling", annotated)
    site.wait_ready("rolling", workers=2, timeout_s=120)


async def test_a_scale_down_deletes_the_idle_worker(site: Site) -> None:
    site.apply(site.pool("shrinking", replicas=3))
    site.wait_ready("shrinking", workers=3)
    with site.orchestrator() as server:
        async with contextlib.AsyncExitStack() as stack:
            listeners = []
            for _ in range(2):
                socket = await stack.enter_async_context(Socket.open(server, "/v1/speak"))
                listeners.append(PlayingClient(socket))
                await socket.send(type="text", text=" ".join([SENTENCE] * 6), end=True)
                # Then the orchestrator knows the worker's load, and sends the next session elsewhere.
                await listeners[-1].until_frames(50)
            hearing = asyncio.gather(*(listener.until("done", result="complete") for listener in listeners))
            busy = await asyncio.to_thread(site.busy_workers, "shrinking", 2)
            await asyncio.to_thread(site.kubectl, "scale", "ttspool", "shrinking", "--replicas=2")
            await hearing
            for listener in listeners:
                assert not listener.has_received("rerouted")
    site.wait_ready("shrinking", workers=2)
    assert site.pods("shrinking").keys() == busy
    site.kubectl("delete", "ttspool", "shrinking")
