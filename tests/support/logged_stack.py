"""A worker and an orchestrator as real processes, which log all they can, and people who say things to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
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
"""One second that LoudIsVoice takes for a voice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The two, and where they are."""

    url: str
    address: str
    metrics_port: int
    orchestrator: LoggedProcess
    worker: LoggedProcess

    async def stop(self) -> None:
        """End both as an operator would, and read their last words."""
        for process in (self.orchestrator, self.worker):
            process.child.send_signal(signal.SIGTERM)
            assert await process.child.wait() == 0
            await process.reading

    async def metrics(self) -> str:
        """What Prometheus would read of both."""
        headers = {"Authorization": f"Bearer {KEY}"}
        texts = []
        async with aiohttp.ClientSession(headers=headers) as http:
            for url in (f"{self.url}/metrics", f"http://127.0.0.1:{self.metrics_port}/metrics"):
                async with http.get(url) as response:
                    assert response.status == 200
                    texts.append(await response.text())
        return "\n".join(texts)


@contextlib.asynccontextmanager
async def stack(*, worker_module: str = "voiceplane_worker", **environment: str) -> AsyncIterator[Stack]:
    """An orchestrator that hears PHRASE, with one worker of the mock family."""
    address, metrics_port = f"127.0.0.1:{free_port()}", free_port()
    worker_flags = ("--listen", address, "--adapter", "mock", "--default-model", "mock", "--log-level", "debug")
    orchestrator_flags = ("--listen", "127.0.0.1:0", "--workers", address, "--log-level", "debug")
    async with (
        logged_python(worker_module, *worker_flags, "--metrics-port", str(metrics_port), **environment) as worker,
        logged_python(
            "tests.support.scripted_orchestrator",
            *orchestrator_flags,
            HEARD=PHRASE,
            VOICEPLANE_AUTH__API_KEYS=json.dumps([KEY]),
            **environment,
        ) as orchestrator,
        asyncio.timeout(60),
    ):
        url = await orchestrator.until("listening on ")
        async with aiohttp.ClientSession(url) as http:
            while (await http.get("/readyz")).status != 200:  # noqa: ASYNC110  # no event comes from another process
                await asyncio.sleep(POLL_S)
        yield Stack(url=url, address=address, metrics_port=metrics_port, orchestrator=orchestrator, worker=worker)


@contextlib.asynccontextmanager
async def client(url: str, path: str, **hello: object) -> AsyncIterator[Client]:
    """A client that has said hello, and has been answered."""
    key = "voiceplane.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
    protocols: Any = ["voiceplane.v1", key]
    async with websockets.connect(url.replace("http", "ws") + path, subprotocols=protocols) as socket:
        connected = Client(socket)
        await connected.send("hello", version=1, **hello)
        await connected.until("ready")
        yield connected


async def take_a_turn(user: Client) -> None:
    """Say PHRASE, and listen to the answer, which is PHRASE, to its end."""
    await user.socket.send(VOICE)
    await user.socket.send(bytes(len(VOICE)))
    assert (await user.until("transcript", role="user", final=True))["text"] == PHRASE
    done = await user.until("done", result="complete")
    await user.play_to(done["utterance"], done["samples"])
    assert (await user.until("transcript", role="agent"))["text"] == PHRASE


async def say_it_in_every_way(url: str) -> None:
    """PHRASE as what is heard, answered, read, refused and misspelt."""
    async with client(url, "/v1/talk", sample_rate_hz=16_000) as user:
        await take_a_turn(user)
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
        await http.post("/v1/audio/speech", json={"input": PHRASE, "speed": PHRASE, "x": PHRASE}, headers=headers)
