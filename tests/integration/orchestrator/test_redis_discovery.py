"""Real workers that register in a real Redis, and an orchestrator that finds them; any of the three may go away.

Redis keeps nothing on disk, and dies by SIGKILL: what it held is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings

from bench.websocket import Socket
from tests.support.notes import note
from tests.support.orchestrators import LoudIsVoice, ScriptedRecognizer
from tests.support.playing_client import PlayingClient
from tests.support.processes import Process, worker
from tests.support.redis_server import RedisServer, Sentinel, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.timeout(300)

MOCK = ("--adapter", "mock", "--default-model", "mock")
TEXT = "One two three. Four five six. Seven eight nine. The end of it."
WORKERS, LEASES = "voiceplane:v1:workers", "voiceplane:v1:leases"
LEASE_MS = 2000
POLL_S = 0.02
DEADLINE_S = 150


class Stage:
    """Two workers, an orchestrator, and a listener to whom one of the workers speaks."""

    def __init__(self, url: str, workers: dict[str, Process], socket: Socket) -> None:
        self.workers = workers
        self.listener = PlayingClient(socket)
        self._url = url
        self._socket = socket

    async def begin(self) -> str:
        """Have a text spoken; returns the address of the worker that speaks, in mid-utterance."""
        await self._socket.send(type="text", text=TEXT, end=True)
        await self.listener.until_frames(60)
        while not (busy := [address for address, count in (await self.routing()).items() if count]):  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(POLL_S)
        return busy[0]

    async def hear_the_rest(self) -> None:
        """Hear the text to its end: nothing is missing."""
        assert (await self.listener.until("done"))["result"] == "complete"
        assert self.listener.is_whole

    async def routing(self) -> dict[str, int]:
        """The sessions of each ready worker that is in routing."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._url}/v1/workers") as response:
            found: list[dict[str, Any]] = (await response.json())["workers"]
        return {each["address"]: each["sessions"] for each in found if each["ready"]}

    async def until_routing(self, *addresses: str) -> float:
        """When these workers and no others are in routing."""
        while (await self.routing()).keys() != set(addresses):  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(POLL_S)
        return time.monotonic()

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as http, http.get(f"{self._url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    async def until_metric(self, name: str, value: float) -> float:
        """When a metric of the orchestrator had a value."""
        while await self.metric(name) != value:  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(POLL_S)
        return time.monotonic()

    async def until_registered(self, redis: RedisServer) -> None:
        """Return when both workers stand in a Redis."""
        while await redis.ask("HLEN", WORKERS) != "2":  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def stage(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setenv("VOICEPLANE_REDIS__URL", url)
    settings = OrchestratorSettings.model_validate(
        {"server": {"listen": "127.0.0.1:0"}, "discovery": {"kind": "redis"}, "redis": {"url": url}}
    )
    async with (
        worker(*MOCK) as (first, first_process),
        worker(*MOCK) as (second, second_process),
        Orchestrator(settings, recognizer=ScriptedRecognizer(), voice_activity=LoudIsVoice) as running,
        asyncio.timeout(DEADLINE_S),
    ):
        await running.wait_ready(timeout_s=20)
        async with Socket.open(running.url, "/v1/speak") as socket:
            on = Stage(running.url, {first: first_process, second: second_process}, socket)
            await on.until_routing(first, second)
            yield on


def other(workers: dict[str, Process], address: str) -> str:
    return next(each for each in workers if each != address)


async def test_a_worker_that_is_killed_is_out_within_its_lease(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        victim = await on.begin()
        await on.workers[victim].kill()
        killed_s = time.monotonic()
        gone = asyncio.create_task(on.until_metric("voiceplane_orchestrator_leases", 1))
        seconds, micros = (await redis.ask("TIME")).split()
        left_ms = float(await redis.ask("ZSCORE", LEASES, victim)) - int(seconds) * 1000 - int(micros) / 1000
        assert left_ms <= LEASE_MS, "on Redis' clock it ends within the lease"
        await on.listener.until("rerouted")
        await on.hear_the_rest()
        gone_s = await gone - killed_s
        while await redis.ask("HKEYS", WORKERS) != other(on.workers, victim):  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(POLL_S)
        assert (await on.routing()).keys() == {other(on.workers, victim)}
        note(pytestconfig, f"a worker that was killed lost its lease {gone_s:.1f} s later")


async def test_a_worker_that_gets_sigterm_is_out_at_once_and_finishes_what_it_is_saying(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        leaver = await on.begin()
        on.workers[leaver].child.send_signal(signal.SIGTERM)
        told_s = time.monotonic()
        gone_s = await on.until_routing(other(on.workers, leaver)) - told_s
        assert gone_s < LEASE_MS / 1000, "it did not wait for its lease to end"
        assert await redis.ask("HKEYS", WORKERS) == other(on.workers, leaver)
        assert on.workers[leaver].child.returncode is None, "it is still speaking"
        await on.hear_the_rest()
        assert not on.listener.has_received("rerouted")
        assert await on.begin() == other(on.workers, leaver)


async def test_redis_loses_its_data_while_a_session_speaks_and_no_frame_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        await on.begin()
        await redis.kill()
        await redis.start()
        await on.until_registered(redis)
        await on.hear_the_rest()
        assert not on.listener.has_received("rerouted")
        assert not on.listener.has_received("state")
        await on.until_routing(*on.workers)
        await on.until_metric("voiceplane_orchestrator_registry_connected", 1)
        await on.until_metric("voiceplane_orchestrator_leases", 2)


async def test_redis_stands_still_for_longer_than_a_lease_and_no_worker_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        await on.begin()
        redis.signal(signal.SIGSTOP)
        await on.until_metric("voiceplane_orchestrator_registry_connected", 0)
        await on.hear_the_rest()
        redis.signal(signal.SIGCONT)
        await on.until_metric("voiceplane_orchestrator_registry_connected", 1)
        await on.until_registered(redis)
        assert (await on.routing()).keys() == on.workers.keys()
        assert await on.metric('voiceplane_orchestrator_lease_changes_total{kind="registered"}') == 2
        assert not on.listener.has_received("rerouted")


async def test_without_redis_sessions_go_on_and_begin_and_a_dead_worker_is_kept_away_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        victim = await on.begin()
        await redis.kill()
        await on.hear_the_rest()  # longer than a lease
        await on.until_metric("voiceplane_orchestrator_registry_connected", 0)
        assert (await on.routing()).keys() == on.workers.keys()
        await on.workers[victim].kill()
        await on.until_routing(other(on.workers, victim))
        on.listener.frames.clear()
        assert await on.begin() == other(on.workers, victim)


async def test_a_worker_that_restarts_at_its_address_is_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with redis_server() as redis, stage(redis.url, monkeypatch) as on:
        address = next(iter(on.workers))
        before = await redis.ask("HGET", WORKERS, address)
        await on.workers[address].kill()
        async with worker(*MOCK, address=address):
            after = await redis.ask("HGET", WORKERS, address)
            assert after != before
            await on.until_routing(*on.workers)
            assert await redis.ask("HGET", WORKERS, address) == after


async def test_a_sentinel_promotes_the_replica_and_no_session_notices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with redis_server() as primary:
        replica = RedisServer(tmp_path, lines=(f"replicaof {primary.host} {primary.port}",))
        sentinel = Sentinel(tmp_path, primary=primary, service="speech")
        url = f"redis+sentinel://127.0.0.1:1,{sentinel.host}:{sentinel.port}/speech"
        async with replica, sentinel, stage(url, monkeypatch) as on:
            while f"slave0:name={replica.host}:{replica.port}" not in await known_replicas(sentinel):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            await on.begin()
            await primary.kill()
            killed_s = time.monotonic()
            while (await replica.ask("ROLE")).split()[0] != "master":  # noqa: ASYNC110 - it is another process that changes
                await asyncio.sleep(POLL_S)
            promoted_s = time.monotonic()
            await on.hear_the_rest()
            assert not on.listener.has_received("rerouted")
            await on.until_metric("voiceplane_orchestrator_registry_connected", 1)
            before = await replica.ask("ZRANGE", LEASES, 0, -1, "WITHSCORES")
            while await replica.ask("ZRANGE", LEASES, 0, -1, "WITHSCORES") == before:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            await on.until_routing(*on.workers)  # one whose lease has ended meanwhile is back with its next heartbeat
            note(pytestconfig, f"Sentinel promoted the replica {promoted_s - killed_s:.1f} s after the primary died")


async def known_replicas(sentinel: Sentinel) -> str:
    words = (await sentinel.ask("SENTINEL", "REPLICAS", "speech")).split()
    return f"slave0:name={words[words.index('name') + 1]}" if "name" in words else ""


async def test_a_replica_that_a_user_promotes_is_found_and_no_session_notices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with redis_server() as primary:
        replica = RedisServer(tmp_path, lines=(f"replicaof {primary.host} {primary.port}",))
        url = f"redis://{primary.host}:{primary.port},{replica.host}:{replica.port}"
        async with replica, stage(url, monkeypatch) as on:
            await on.begin()
            await primary.kill()
            await replica.ask("REPLICAOF", "NO", "ONE")
            await replica.ask("FLUSHALL")  # as if nothing had been replicated
            await on.until_registered(replica)
            await on.hear_the_rest()
            assert not on.listener.has_received("rerouted")
            await on.until_metric("voiceplane_orchestrator_registry_connected", 1)
            assert (await on.routing()).keys() == on.workers.keys()
