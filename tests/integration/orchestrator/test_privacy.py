"""Real processes, searched for what was said and for keys; and their end by SIGTERM."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets

from tests.support.logged import LoggedProcess, logged_python
from tests.support.orchestrators import Client
from tests.support.processes import POLL_S, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORDS = ("aardvark", "zephyr", "quixotic")
PHRASE = "Aardvark zephyr quixotic."
KEY = "hunter2-and-more"
WRONG_KEY = "swordfish-and-more"
VOICE = (8000).to_bytes(2, "little") * 16_000


@contextlib.asynccontextmanager
async def stack(**environment: str) -> AsyncIterator[tuple[str, LoggedProcess, LoggedProcess]]:
    """A worker and an orchestrator that hears PHRASE, with all of their logs."""
    address = f"127.0.0.1:{free_port()}"
    worker_flags = ("--listen", address, "--adapter", "mock", "--default-model", "mock", "--log-level", "debug")
    orchestrator_flags = ("--listen", "127.0.0.1:0", "--workers", address, "--log-level", "debug")
    async with (
        logged_python("voiceplane_worker", *worker_flags, **environment) as worker,
        logged_python(
            "tests.support.scripted_orchestrator",
            *orchestrator_flags,
            HEARD=PHRASE,
            VOICEPLANE_AUTH__API_KEYS=json.dumps([KEY]),
            **environment,
        ) as orchestrator,
        asyncio.timeout(25),
    ):
        url = await orchestrator.until("listening on ")
        async with aiohttp.ClientSession(url) as http:
            while (await http.get("/readyz")).status != 200:  # noqa: ASYNC110  # no event comes from another process
                await asyncio.sleep(POLL_S)
        yield url, orchestrator, worker


@contextlib.asynccontextmanager
async def client(url: str, path: str, **hello: object) -> AsyncIterator[Client]:
    key = "voiceplane.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
    protocols: Any = ["voiceplane.v1", key]
    async with websockets.connect(url.replace("http", "ws") + path, subprotocols=protocols) as socket:
        connected = Client(socket)
        await connected.send("hello", version=1, **hello)
        await connected.until("ready")
        yield connected


async def say_it_in_every_way(url: str) -> None:
    """PHRASE as what is heard, answered, read, refused and misspelt."""
    async with client(url, "/v1/talk", sample_rate_hz=16_000) as user:
        await user.socket.send(VOICE)
        await user.socket.send(bytes(len(VOICE)))
        assert (await user.until("transcript", role="user", final=True))["text"] == PHRASE
        done = await user.until("done", result="complete")
        await user.play_to(done["utterance"], done["samples"])
        assert (await user.until("transcript", role="agent"))["text"] == PHRASE
        await user.send("say", text=PHRASE * 2000)
        await user.until("error", reason="TEXT_TOO_LONG")
        await user.send("say", text=PHRASE, typo=PHRASE)
        await user.until("error", reason="INVALID_MESSAGE")
        await user.send(PHRASE)
        await user.until("error", reason="INVALID_MESSAGE")
    async with client(url, "/v1/speak") as reader:
        await reader.send("text", text=f"{PHRASE} {PHRASE} and more")
        await reader.frame()
        await reader.send("interrupt")
        await reader.until("transcript", role="agent")
    async with aiohttp.ClientSession(url) as http:
        for key, status in ((WRONG_KEY, 401), (KEY, 200)):
            headers = {"Authorization": f"Bearer {key}"}
            response = await http.post("/v1/audio/speech", json={"input": PHRASE}, headers=headers)
            assert response.status == status
            await response.read()
        await http.post("/v1/audio/speech", json={"input": PHRASE, "x": PHRASE}, headers=headers)


@pytest.mark.parametrize("allowed", [False, True])
async def test_what_was_said_is_in_the_logs_only_when_asked_for_and_keys_never(allowed: bool) -> None:
    async with stack(VOICEPLANE_PRIVACY__LOG_TRANSCRIPTS=json.dumps(allowed)) as (url, orchestrator, worker):
        await say_it_in_every_way(url)
        for process in (orchestrator, worker):
            process.child.send_signal(signal.SIGTERM)
            assert await process.child.wait() == 0
            await process.reading
        assert '"session_ended"' in worker.log, "the logs were read"
        assert '"event": "turn"' in orchestrator.log
        log = (orchestrator.log + worker.log).lower()
        assert [word in log for word in WORDS] == [allowed] * 3
        for key in (KEY, WRONG_KEY):
            assert key not in log
            assert base64.urlsafe_b64encode(key.encode()).decode().rstrip("=").lower() not in log
        assert "traceback" not in log


async def test_after_sigterm_the_utterance_under_way_is_finished_and_the_process_exits() -> None:
    async with stack() as (url, orchestrator, _), client(url, "/v1/speak") as speaking:
        await speaking.send("text", text="This takes two seconds to be said.", end=True)
        await speaking.frame()
        orchestrator.child.send_signal(signal.SIGTERM)
        done = await speaking.until("done")
        assert done["result"] == "complete"
        assert sum(frame.valid_samples for frame in speaking.frames(1)) == done["samples"] > 48_000
        assert (await speaking.until("error"))["reason"] == "SHUTTING_DOWN"
        assert await orchestrator.child.wait() == 0
