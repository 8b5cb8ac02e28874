"""Workers die, clients vanish or stop reading: sessions go on or end with a reason, and nothing leaks."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest
from voiceplane_client import WorkerClient

from bench.websocket import Socket
from tests.support import processes
from tests.support.playing_client import PlayingClient

if TYPE_CHECKING:
    from tests.support.processes import Process

pytestmark = pytest.mark.timeout(180)

MOCK = ("--adapter", "mock", "--default-model", "mock")
TEXT = "One two three. Four five six. Seven eight nine. Ten eleven twelve. Thirteen fourteen. The end of it."
SESSIONS_METRIC = r"^voiceplane_orchestrator_sessions(?:\{.*\})? (\S+)$"
RECOVERY_S = 2.0
SLOW_READER_GROWTH_BYTES = 20 << 20


async def live_sessions(server: str, *workers: str) -> int:
    """Sessions that the orchestrator and its workers hold."""
    async with aiohttp.ClientSession() as http, http.get(f"{server}/metrics") as response:
        page = await response.text()
    count = sum(
        float(value) for value in re.findall(r"^voiceplane_orchestrator_sessions(?:\{.*\})? (\S+)$", page, re.MULTILINE)
    )
    for address in workers:
        async with WorkerClient(address) as client:
            state = await anext(client.watch_state())
            count += state.load.sessions
    return int(count)


async def until_no_session(server: str, *workers: str) -> None:
    async with asyncio.timeout(20):
        while await live_sessions(server, *workers):  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(0.05)


async def test_a_worker_is_killed_in_mid_utterance_and_another_one_goes_on() -> None:
    async with (
        processes.worker(*MOCK) as (first, first_process),
        processes.worker(*MOCK) as (second, second_process),
        processes.orchestrator("--workers", first, "--workers", second) as (server, _),
        Socket.open(server, "/v1/speak") as socket,
    ):
        listener = PlayingClient(socket)
        await socket.send(type="text", text=TEXT, end=True)
        await listener.until_frames(60)
        victim, survivor = await speaking(first, first_process, second, second_process)
        await victim.kill()
        await listener.until("rerouted")
        done = await listener.until("done")
        assert done["result"] == "complete"
        assert listener.is_whole, "the media time goes on over the change of worker"
        await socket.send(type="text", text="And on.", end=True)
        await listener.until("done", result="complete")
        assert await live_sessions(server, survivor) == 2, "this one, on the orchestrator and on the worker"


async def speaking(first: str, first_process: Process, second: str, second_process: Process) -> tuple[Process, str]:
    """The process of the worker that speaks, and the address of the other one."""
    async with WorkerClient(first) as client:
        state = await anext(client.watch_state())
    return (first_process, second) if state.load.sessions else (second_process, first)


async def test_without_a_worker_the_session_says_so_and_goes_on_within_two_seconds_of_its_return() -> None:
    async with (
        processes.worker(*MOCK) as (address, process),
        processes.orchestrator("--workers", address) as (server, _),
        Socket.open(server, "/v1/speak") as socket,
    ):
        listener = PlayingClient(socket)
        await socket.send(type="text", text=TEXT, end=True)
        await listener.until_frames(60)
        await process.kill()
        state = await listener.until("state", state="no_worker")
        assert state["reason"]
        async with processes.worker(*MOCK, address=address):
            back_at = time.monotonic()
            await listener.until_frames(len(listener.frames) + 1)
            recovered_s = time.monotonic() - back_at
            print(f"\nrecovery: {recovered_s * 1000:.0f} ms after the worker was ready")
            assert recovered_s < RECOVERY_S
            await listener.until("done", result="complete")
            assert listener.is_whole, "the media time goes on over the change of worker"


async def test_a_client_that_vanishes_leaves_no_session() -> None:
    async with processes.worker(*MOCK) as (address, _), processes.orchestrator("--workers", address) as (server, _):
        for path, hello in (("/v1/speak", {}), ("/v1/talk", {"sample_rate_hz": 16_000})):
            async with Socket.open(server, path, **hello) as socket:
                listener = PlayingClient(socket)
                kind = {"type": "text", "end": True} if path == "/v1/speak" else {"type": "say"}
                await socket.send(text=TEXT, **kind)
                await listener.until_frames(5)
                assert await live_sessions(server, address) == 2
                socket.vanish()
            await until_no_session(server, address)


async def test_a_client_that_does_not_read_is_cut_off_and_costs_no_memory() -> None:
    minutes_of_speech = TEXT * 40
    async with (
        processes.worker(*MOCK) as (address, worker),
        processes.orchestrator("--workers", address) as (server, orchestrator),
    ):
        before = worker.rss_bytes() + orchestrator.rss_bytes()
        async with Socket.open(server, "/v1/speak", max_queue=1) as socket:
            await socket.send(type="text", text=minutes_of_speech, end=True)
            await until_no_session(server, address)  # nothing is read meanwhile
            grown = worker.rss_bytes() + orchestrator.rss_bytes() - before
            print(f"\nmemory owed to a client that does not read: {grown / 2**20:.1f} MiB")
            assert grown < SLOW_READER_GROWTH_BYTES
            socket.vanish()
