"""Three hosts on one network, Redis and orchestrator on the first: the third is cut off, and comes back.

Each host is a network namespace that the test makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bench.websocket import Socket
from tests.support import processes
from tests.support.impaired_network import inside
from tests.support.lan import Lan, lan
from tests.support.notes import note
from tests.support.playing_client import PlayingClient
from tests.support.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

PORT = 50051
TEXT = "One two three. Four five six. Seven eight nine. Ten eleven twelve. Thirteen fourteen. The end of it. "
DEADLINE_S = 150.0
POLL_S = 0.02


@pytest.fixture
def network() -> Iterator[Lan]:
    with lan("hub", "a", "b") as network:
        yield network


def test_a_host_is_cut_off_and_comes_back(network: Lan, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    figures = inside(network.namespace("hub"), lambda: asyncio.run(story(network, tmp_path)))
    note(pytestconfig, f"a host cut off: {figures}")


async def story(network: Lan, folder: Path) -> str:
    async with (
        redis_server(host=network.address("hub"), lines=("protected-mode no",)) as redis,
        worker_on(network, "a", redis.url),
        worker_on(network, "b", redis.url),
        processes.orchestrator("--config", config(folder, redis.url)) as (server, _),
        asyncio.timeout(DEADLINE_S),
    ):
        await until_workers(server, {"a": 0, "b": 0}, network)
        async with two_sessions(server, network) as sessions:
            heard = {name: PlayingClient(socket) for name, socket in sessions.items()}
            for name in ("a", "b"):
                await sessions[name].send(type="text", text=TEXT, end=True)
            await asyncio.gather(*(listener.until_frames(60) for listener in heard.values()))
            network.cut("b")
            cut_at_s = time.monotonic()
            others = asyncio.create_task(heard["a"].until("done"))
            gone = asyncio.create_task(until_workers(server, {"a": None}, network))
            await heard["b"].until("rerouted")
            silent_s = time.monotonic() - cut_at_s
            assert (await heard["b"].until("done"))["result"] == "complete"
            assert (await others)["result"] == "complete"
            gone_s = await gone - cut_at_s
            assert not heard["a"].has_received("rerouted"), "who was on the other host has noticed nothing"
            assert heard["a"].is_whole
            assert heard["b"].is_whole
            network.rejoin("b")
            rejoined_at_s = time.monotonic()
            back_s = await until_workers(server, {"a": None, "b": None}, network) - rejoined_at_s
        await until_workers(server, {"a": 0, "b": None}, network)
        await until_served_by(server, "b", network)
        return f"out of routing after {gone_s:.1f} s, rerouted after {silent_s:.1f} s, back after {back_s:.1f} s"


@contextlib.asynccontextmanager
async def two_sessions(server: str, network: Lan) -> AsyncIterator[dict[str, Socket]]:
    """A session on each host, by its name: the second one goes where there is less to do."""
    async with contextlib.AsyncExitStack() as stack:
        sessions: dict[str, Socket] = {}
        while len(sessions) < 2:
            socket = await stack.enter_async_context(Socket.open(server, "/v1/speak"))
            await socket.send(type="text", text="One.", end=True)
            await PlayingClient(socket).until("done")
            busy = await until_busy(server, len(sessions) + 1, network)
            sessions[(busy - sessions.keys()).pop()] = socket
        yield sessions


async def until_busy(server: str, count: int, network: Lan) -> set[str]:
    """The hosts that have sessions, once there are so many of them."""
    while len(busy := {name for name, sessions in (await workers(server, network)).items() if sessions}) < count:  # noqa: ASYNC110 - it is another process that changes
        await asyncio.sleep(POLL_S)
    return busy


async def until_served_by(server: str, name: str, network: Lan) -> None:
    """Open sessions until one has come to a host; what was there before the cut idles out there later."""
    before = (await workers(server, network))[name]
    async with contextlib.AsyncExitStack() as stack:
        while (await workers(server, network))[name] == before:
            socket = await stack.enter_async_context(Socket.open(server, "/v1/speak"))
            await socket.send(type="text", text="One.", end=True)
            await PlayingClient(socket).until("done")


def config(folder: Path, url: str) -> str:
    file = folder / "orchestrator.yaml"
    file.write_text(
        json.dumps({"discovery": {"kind": "redis"}, "redis": {"url": url}, "routing": {"policy": "least_loaded"}})
    )
    return str(file)


@contextlib.asynccontextmanager
async def worker_on(network: Lan, name: str, url: str) -> AsyncIterator[None]:
    arguments = [
        "--listen",
        f"0.0.0.0:{PORT}",
        "--adapter",
        "mock",
        "--default-model",
        "mock",
        "--log-level",
        "warning",
    ]
    command = ["ip", "netns", "exec", network.namespace(name), sys.executable, "-m", "voiceplane_worker"]
    child = await asyncio.create_subprocess_exec(*command, *arguments, env=os.environ | {"VOICEPLANE_REDIS__URL": url})
    try:
        yield
    finally:
        child.kill()
        await child.wait()


async def workers(server: str, network: Lan) -> dict[str, int]:
    """The sessions of each worker that is in routing, by its host."""
    async with aiohttp.ClientSession() as http, http.get(f"{server}/v1/workers") as response:
        found: list[dict[str, Any]] = (await response.json())["workers"]
    names = {f"{network.address(name)}:{PORT}": name for name in ("a", "b")}
    return {names[each["address"]]: each["sessions"] for each in found if each["ready"]}


async def until_workers(server: str, wanted: dict[str, int | None], network: Lan) -> float:
    """When these workers, and no others, were in routing, with so many sessions; None for any number."""
    while True:
        found = await workers(server, network)
        if found.keys() == wanted.keys() and all(count in {None, found[name]} for name, count in wanted.items()):
            return time.monotonic()
        await asyncio.sleep(POLL_S)
