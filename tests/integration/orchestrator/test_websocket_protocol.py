"""What clients get wrong, and the answers; sessions are counted afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import websockets

from tests.support.orchestrators import client, orchestrator

if TYPE_CHECKING:
    from voiceplane_orchestrator.app import Orchestrator

HELLO = {"type": "hello", "version": 1, "sample_rate_hz": 16_000}


async def _none_left(running: Orchestrator) -> None:
    async with asyncio.timeout(15):
        await running.wait_idle()
    assert running.live_sessions == 0


@pytest.mark.parametrize(
    ("first", "reason", "field"),
    [
        ("nonsense", "INVALID_MESSAGE", ""),
        ("[1]", "INVALID_MESSAGE", "type"),
        (json.dumps({"type": "helo"}), "INVALID_MESSAGE", "type"),
        (json.dumps({**HELLO, "sampel_rate": 1}), "INVALID_MESSAGE", "sampel_rate"),
        (json.dumps({**HELLO, "sample_rate_hz": 44_100}), "INVALID_ARGUMENT", "sample_rate_hz"),
        (json.dumps({**HELLO, "version": 2}), "UNSUPPORTED_VERSION", "version"),
        (json.dumps({**HELLO, "model": "unknown"}), "UNKNOWN_MODEL", "model"),
        (json.dumps({"type": "say", "text": "hi"}), "HELLO_EXPECTED", "type"),
        (b"\0\0" * 320, "HELLO_EXPECTED", "type"),
    ],
)
async def test_a_wrong_first_message_is_explained_and_ends_the_session(
    first: str | bytes, reason: str, field: str
) -> None:
    async with orchestrator() as running:
        async with websockets.connect(running.url.replace("http", "ws") + "/v1/talk") as socket:
            await socket.send(first)
            error = json.loads(await socket.recv())
            assert (error["type"], error["reason"], error["field"], error["fatal"]) == ("error", reason, field, True)
            assert error["message"]
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400
        await _none_left(running)


async def test_text_that_is_not_utf8_closes_with_1007() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.socket.send(b"\xff\xfe{", text=True)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await speaking.until("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007
        await _none_left(running)


async def test_a_message_of_a_megabyte_closes_with_1009() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="a" * 1_000_000, end=True)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await speaking.until("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        await _none_left(running)


async def test_a_text_that_is_too_long_is_an_error_and_the_session_goes_on() -> None:
    async with orchestrator(limits={"max_text_chars": 10}) as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="more than ten characters", end=True)
        error = await speaking.until("error")
        assert (error["reason"], error["field"], error["fatal"]) == ("TEXT_TOO_LONG", "text", False)
        await speaking.send("text", text="Hi.", end=True)
        assert (await speaking.until("done"))["result"] == "complete"


@pytest.mark.parametrize("text", ["", "   ", "?!...", "\U0001f600\U0001f680"])
async def test_text_with_nothing_to_speak_is_done_without_a_frame(text: str) -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text=text, end=True)
        done = await speaking.until("done")
        assert (done["result"], done["samples"]) == ("empty", 0)
        assert speaking.frames(1) == []


async def test_pieces_of_text_come_back_as_one_unbroken_utterance() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        for piece in ("Hel", "lo, wor", "ld."):
            await speaking.send("text", text=piece)
        await speaking.send("text", text="", end=True)
        done = await speaking.until("done")
        frames = speaking.frames(1)
        assert [frame.media_time_samples for frame in frames] == [960 * number for number in range(len(frames))]
        assert [frame.flags for frame in frames] == [0] * (len(frames) - 1) + [1]
        assert sum(frame.valid_samples for frame in frames) == done["samples"] > 0


async def test_interrupt_raises_the_epoch_and_no_older_frame_follows() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="A long text that goes on and on, and on, and on. " * 5, end=True)
        await speaking.frame()
        await speaking.send("interrupt")
        stop = await speaking.until("stop")
        assert stop["epoch"] == 2
        after = len(speaking.seen)
        await speaking.send("text", text="Next.", end=True)
        await speaking.until("done", result="complete")
        epochs = {item.epoch for item in speaking.seen[after:] if not isinstance(item, dict)}
        assert epochs == {2}


async def test_a_client_that_vanishes_leaves_no_session() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="A long text that goes on and on. " * 20, end=True)
        await speaking.frame()
        speaking.socket.transport.abort()
        await _none_left(running)


async def test_without_the_key_nothing_but_health_and_the_page_is_served() -> None:
    async with orchestrator(auth={"api_keys": ["secret"]}) as running:
        url = running.url.replace("http", "ws") + "/v1/speak"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, additional_headers={"Authorization": "Bearer wrong"})
        assert refused.value.response.status_code == 401
        async with websockets.connect(url, additional_headers={"Authorization": "Bearer secret"}) as socket:
            await socket.send(json.dumps({"type": "hello", "version": 1}))
            assert json.loads(await socket.recv())["type"] == "ready"


async def test_a_page_of_another_site_is_refused() -> None:
    async with orchestrator() as running:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(running.url.replace("http", "ws") + "/v1/talk", origin="http://evil.example")  # type: ignore[arg-type]  # a NewType of str
        assert refused.value.response.status_code == 403
