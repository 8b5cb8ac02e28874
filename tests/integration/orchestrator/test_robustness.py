"""Clients that are slow, silent, too many or too late, over real sockets; no session is left behind by any of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets
from voiceplane_orchestrator.transports.websocket import connection, endpoints

from tests.support.orchestrators import Client, Frame, client, orchestrator
from tests.support.raw_websocket import CLOSE, PING, raw_peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_orchestrator.app import Orchestrator

MINUTES = "A text that goes on for minutes. " * 100
SECONDS = "It takes about three seconds to say this text out loud."
BYTES_A_SECOND = 2 * 48_000


@contextlib.asynccontextmanager
async def counted(**sections: Any) -> AsyncIterator[Orchestrator]:
    """An orchestrator that must have no session left in the end, and whose worker must have none, either."""
    async with orchestrator(**sections) as running, asyncio.timeout(30):
        yield running
        await running.wait_idle()
        assert running.live_sessions == 0
        while any(worker.sessions for worker in running._router.workers()):
            await running._router.wait_changed(timeout_s=1.0)


async def ended(speaking: Client) -> tuple[dict[str, Any], int]:
    """The fatal error that a client receives, and the close code after it."""
    error = await speaking.until("error", fatal=True)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await speaking.next()
    assert closed.value.rcvd is not None
    return error, closed.value.rcvd.code


async def test_a_client_that_does_not_read_is_closed_with_4409_and_little_is_buffered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up = asyncio.Event()
    end = connection.WebSocketConnection.end

    async def watched(self: connection.WebSocketConnection, closing: connection.CloseSession) -> None:
        given_up.set()
        await end(self, closing)

    monkeypatch.setattr(connection.WebSocketConnection, "end", watched)
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 20.0)
    async with counted(limits={"write_timeout_ms": 200}) as running, raw_peer(f"{running.url}/v1/speak") as peer:
        await peer.send_json(type="hello", version=1)
        await peer.send_json(type="text", text=MINUTES, end=True)
        await given_up.wait()
        kept_bytes, opcode, payload = 0, 0, b""
        while opcode != CLOSE:
            opcode, payload = await peer.frame()
            kept_bytes += len(payload)
    assert int.from_bytes(payload[:2], "big") == 4409
    assert payload[2:] == b"SLOW_READER"
    assert kept_bytes < 3 * BYTES_A_SECOND


async def test_a_client_that_never_reads_again_costs_no_session() -> None:
    async with counted(limits={"write_timeout_ms": 200}) as running, raw_peer(f"{running.url}/v1/speak") as peer:
        await peer.send_json(type="hello", version=1)
        await peer.send_json(type="text", text=MINUTES, end=True)
        await peer.frame()
        assert running.live_sessions == 1
        await running.wait_idle()


async def test_a_peer_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_S", 0.2)
    async with counted() as running, raw_peer(f"{running.url}/v1/talk") as peer:
        await peer.send_json(type="hello", version=1, sample_rate_hz=16_000)
        opcodes = []
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                opcodes.append((await peer.frame())[0])
        assert PING in opcodes


async def test_a_peer_that_answers_pings_may_be_silent_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_S", 0.1)
    async with counted() as running, client(running, "/v1/speak") as speaking:
        with pytest.raises(TimeoutError):  # nothing comes, for many heartbeats
            async with asyncio.timeout(0.8):
                await speaking.next()
        assert running.live_sessions == 1


async def test_without_a_hello_the_session_ends_with_4408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HELLO_TIMEOUT_S", 0.1)
    async with counted() as running, websockets.connect(running.url.replace("http", "ws") + "/v1/talk") as socket:
        error, code = await ended(Client(socket))
        assert (error["reason"], code) == ("HELLO_TIMEOUT", 4408)


async def test_silence_from_both_sides_ends_the_session_with_4408() -> None:
    async with counted(limits={"idle_timeout_ms": 1000}) as running, client(running, "/v1/speak") as speaking:
        error, code = await ended(speaking)
        assert (error["reason"], code) == ("IDLE_TIMEOUT", 4408)


async def test_a_client_that_only_listens_is_not_idle() -> None:
    async with counted(limits={"idle_timeout_ms": 1000}) as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text=SECONDS, end=True)
        done = await speaking.until("done")
        assert done["result"] == "complete"
        assert done["samples"] > 2 * 48_000, "it has to be longer than the idle timeout"


async def test_beyond_the_limit_a_session_is_refused_until_another_one_ends() -> None:
    async with counted(limits={"max_sessions": 1}) as running:
        url = running.url.replace("http", "ws") + "/v1/speak"
        async with client(running, "/v1/speak"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(url)
            async with aiohttp.ClientSession() as http:
                file = await http.post(f"{running.url}/v1/audio/speech", json={"input": "Hi."})
                assert (file.status, file.headers["Retry-After"]) == (503, "1")
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert json.loads(response.body)["error"]["reason"] == "TOO_MANY_SESSIONS"
        await running.wait_idle()
        async with client(running, "/v1/speak"):
            assert running.live_sessions == 1


async def test_twenty_wrong_messages_end_the_session() -> None:
    async with counted() as running, client(running, "/v1/speak") as speaking:
        for _ in range(20):
            await speaking.send("nonsense")
        error, code = await ended(speaking)
        assert (error["reason"], code) == ("TOO_MANY_ERRORS", 4400)
        assert len([item for item in speaking.seen if isinstance(item, dict) and item["type"] == "error"]) == 21


async def test_a_draining_server_lets_an_utterance_end_and_refuses_new_sessions() -> None:
    async with counted() as running, client(running, "/v1/speak") as speaking, client(running, "/v1/speak") as idle:
        await speaking.send("text", text=SECONDS, end=True)
        await speaking.frame()
        draining = asyncio.create_task(running.drain())
        error, code = await ended(idle)
        assert (error["reason"], code) == ("SHUTTING_DOWN", 1001)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(running.url.replace("http", "ws") + "/v1/speak")
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["error"]["reason"] == "SHUTTING_DOWN"
        async with aiohttp.ClientSession() as http, http.get(f"{running.url}/readyz") as ready:
            assert (ready.status, (await ready.json())["status"]) == (503, "draining")
        done = await speaking.until("done")
        assert done["result"] == "complete"
        assert sum(frame.valid_samples for frame in speaking.frames(1)) == done["samples"]
        assert (await ended(speaking))[1] == 1001
        await draining
        assert running.live_sessions == 0


async def test_a_drain_ends_at_its_deadline_whatever_is_being_said() -> None:
    async with orchestrator(server={"listen": "127.0.0.1:0", "drain_timeout_ms": 100}) as running:
        async with client(running, "/v1/speak") as speaking:
            await speaking.send("text", text=MINUTES, end=True)
            await speaking.frame()
            await running.drain()
            assert running.live_sessions == 1
            ending = asyncio.create_task(running.__aexit__())
            error, code = await ended(speaking)
            assert (error["reason"], code) == ("SHUTTING_DOWN", 1001)
            await ending
        assert running.live_sessions == 0


async def test_an_interrupt_passes_all_the_text_that_waits_to_be_spoken() -> None:
    async with counted() as running, client(running, "/v1/speak") as speaking:
        for number in range(80):
            await speaking.send("text", text=f"This is the sentence number {number}. ")
            await speaking.send("text", text="It has two parts.", end=True)
        await speaking.send("interrupt")
        stop = await speaking.until("stop")
        refused = [item for item in speaking.seen if isinstance(item, dict) and item["type"] == "error"]
        assert {error["reason"] for error in refused} == {"TOO_MUCH_TEXT"}
        assert 14 <= len(refused) <= 16, "each utterance beyond the 64 that wait, told once"
        assert not [item for item in speaking.seen if isinstance(item, Frame) and item.utterance > 1]
        await speaking.send("text", text="Hi.", end=True)
        assert (await speaking.until("done", result="complete"))["epoch"] == stop["epoch"]
