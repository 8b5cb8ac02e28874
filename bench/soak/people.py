"""Simulated users, who talk until the end: most listen, some interrupt, read slowly, pause or disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import websockets

from bench.corpus import TEXTS, UNBROKEN
from bench.soak.turns import Hearing, Turn
from bench.websocket import Audio, ServerError, Socket
from tests.support.raw_websocket import CLOSE, raw_peer

if TYPE_CHECKING:
    import random

    from bench.soak.turns import Outcome, Tally

Manner = Literal["listens", "interrupts", "reads slowly", "stops reading", "pauses", "vanishes"]

WEIGHTS: dict[Manner, int] = {
    "listens": 50,
    "interrupts": 15,
    "reads slowly": 10,
    "stops reading": 5,
    "pauses": 10,
    "vanishes": 10,
}
SAID = (*(text.words for text in TEXTS[:3]), UNBROKEN.words)
MODELS = ("", "", "", "churn")
CONNECT_TIMEOUT_S = 30.0
TURN_TIMEOUT_S = 90.0
"""A minute without any worker is waited for; only then is a turn lost by the server's own account."""
SLOW_FRAME_S = 0.03
STALL_S = 3.0
STUCK_S = 14.0
"""Longer than limits.write_timeout_ms."""
STUCK_TEXT = "A text that goes on for minutes. " * 60
REPORT_EVERY_FRAMES = 10
MAX_QUEUE = 8


class Person:
    """One client, one session after another. Each has a chance of its own, so that the others change nothing for it."""

    def __init__(self, server: str, *, chance: random.Random, tally: Tally, stopping: asyncio.Event) -> None:
        self._server = server
        self._chance = chance
        self._tally = tally
        self._stopping = stopping

    async def live(self) -> None:
        """Visit until told to stop; the turn under way is brought to its end."""
        while not self._stopping.is_set():
            path = self._chance.choice(("/v1/talk", "/v1/speak"))
            try:
                await self._visit(path)
            except (OSError, TimeoutError, websockets.WebSocketException, ServerError) as error:
                self._tally.turns.append(Turn(path=path, manner="arrives", outcome="lost", reason=why(error)))
            await self._wait(self._chance.uniform(0.1, 1.0))

    async def _visit(self, path: str) -> None:
        """One session of a few turns."""
        hello = {"model": self._chance.choice(MODELS)} | ({"sample_rate_hz": 16_000} if path == "/v1/talk" else {})
        async with contextlib.AsyncExitStack() as session:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                opening = Socket.open(self._server, path, max_queue=MAX_QUEUE, **hello)
                socket = await session.enter_async_context(opening)
            for _ in range(self._chance.randint(1, 5)):
                turn = await self._turn(socket, path)
                self._tally.turns.append(turn)
                if turn.outcome == "lost" or turn.manner == "vanishes" or self._stopping.is_set():
                    return
                await self._wait(self._chance.uniform(0.1, 1.5))

    async def _turn(self, socket: Socket, path: str) -> Turn:
        manner = self._chance.choices([*WEIGHTS], weights=[*WEIGHTS.values()])[0]
        if manner == "pauses" and path == "/v1/talk":
            manner = "listens"  # there, the pause is the server's
        text = self._chance.choice(SAID)
        exchange = Exchange(socket, path=path, manner=manner, acts_at_frame=self._chance.randint(2, 60))
        outcome: Outcome = "lost"
        reason = ""
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                outcome, reason = await exchange.run(text)
        except (OSError, TimeoutError, websockets.WebSocketException, ServerError) as error:
            reason = why(error)
        return Turn(
            path=path,
            manner=manner,
            outcome=outcome,
            reason=reason,
            first_audio_ms=exchange.first_audio_ms,
            reroutes=exchange.reroutes,
        )

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


class Exchange:
    """One turn: a text, and what came of it.

    Attributes:
        first_audio_ms: Once the first frame has come.
        reroutes: How often another worker went on.
    """

    def __init__(self, socket: Socket, *, path: str, manner: Manner, acts_at_frame: int) -> None:
        self.first_audio_ms: float | None = None
        self.reroutes = 0
        self._socket = socket
        self._path = path
        self._manner = manner
        self._acts_at_frame = acts_at_frame
        self._utterance = 0
        self._frames = 0
        self._hearing = Hearing()

    async def run(self, text: str) -> tuple[Outcome, str]:
        """Say it, and listen to the end of it."""
        began_s = time.monotonic()
        kind = {"type": "say"} if self._path == "/v1/talk" else {"type": "text", "end": True}
        await self._socket.send(text=text, **kind)
        while (end := await self._take(await self._socket.receive(), text, began_s=began_s)) is None:
            pass
        return end

    async def _take(self, message: dict[str, Any] | Audio, text: str, *, began_s: float) -> tuple[Outcome, str] | None:
        """The next message; the turn's outcome if it ends with that."""
        if isinstance(message, Audio):
            if message.utterance != self._utterance:
                return None  # of a turn before this one
            if self.first_audio_ms is None:
                self.first_audio_ms = (time.monotonic() - began_s) * 1000
            await self._hear(message)
            if self._manner == "vanishes" and self._frames >= self._acts_at_frame:
                self._socket.vanish()
                return "cut off", ""
            return None
        match message["type"]:
            case "utterance":
                self._utterance = message["utterance"]
            case "rerouted":
                self.reroutes += 1
            case "stop" if self._utterance and self._manner == "interrupts":
                return "cut off", ""
            case "done" if message["utterance"] == self._utterance:
                return await self._end(text, message)
        return None

    async def _end(self, text: str, done: dict[str, Any]) -> tuple[Outcome, str]:
        if self._manner == "interrupts" and done["result"] == "interrupted":
            return "cut off", ""
        await self._report()
        lack = self._hearing.lack(text, result=done["result"], samples=done["samples"])
        return ("lost", lack) if lack else ("complete", "")

    async def _hear(self, audio: Audio) -> None:
        self._hearing.hear(audio)
        self._frames += 1
        if self._frames % REPORT_EVERY_FRAMES == 0:
            await self._report()
        if self._manner == "reads slowly":
            await asyncio.sleep(SLOW_FRAME_S)
        if self._frames == self._acts_at_frame:
            await self._act()

    async def _act(self) -> None:
        if self._manner == "interrupts":
            await self._socket.send(type="interrupt")
        elif self._manner == "stops reading":
            await asyncio.sleep(STALL_S)
        elif self._manner == "pauses":
            await self._socket.send(type="pause")
            await asyncio.sleep(STALL_S)
            await self._socket.send(type="resume")

    async def _report(self) -> None:
        heard = self._hearing.until_samples
        await self._socket.send(type="playout", utterance=self._utterance, media_time_samples=heard)


async def get_stuck(server: str) -> str:
    """Ask for minutes of speech and don't read for long: the server has to close. Returns what is wrong with it."""
    async with asyncio.timeout(STUCK_S + CONNECT_TIMEOUT_S), raw_peer(f"{server}/v1/speak") as peer:
        await peer.send_json(type="hello", version=1)
        await peer.send_json(type="text", text=STUCK_TEXT, end=True)
        await asyncio.sleep(STUCK_S)
        code = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await peer.frame()
                if opcode == CLOSE:
                    code = int.from_bytes(payload[:2], "big")
    # A server that could not even write the close has aborted the connection, which is as good.
    return "" if code in {0, 4409} else f"closed with {code}"


def why(error: BaseException) -> str:
    """An error as a reason to count by."""
    if isinstance(error, ServerError):
        return error.reason
    if isinstance(error, websockets.ConnectionClosed):
        return f"connection closed ({error.rcvd.code} {error.rcvd.reason})" if error.rcvd else "connection lost"
    if isinstance(error, websockets.InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status}"
    return type(error).__name__
