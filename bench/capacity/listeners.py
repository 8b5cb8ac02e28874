"""Sessions that are spoken to without an end, each heard by one task."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from typing import TYPE_CHECKING, Protocol

from voiceplane_proto.v1 import tts_pb2

from bench.corpus import CONVERSATION
from bench.speaking import Heard
from bench.websocket import Audio, Socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_client import WorkerClient

# Sessions begin within this, as people do not all speak up at the same moment.
SPREAD_S = 2.0
# A speaker tells what has left it at least every 100 ms.
REPORT_EVERY_FRAMES = 5


class Listening(Protocol):
    """How one session listens: it notes each utterance when it sends its text, and each frame when it comes."""

    async def __call__(self, heard: list[Heard]) -> None:
        """Until it is cancelled."""
        ...


async def hear_all(listen: Listening, count: int, *, seconds: float) -> list[Heard]:
    """A number of sessions at once, and the utterances that they received; the last ones are incomplete."""
    heard: list[list[Heard]] = [[] for _ in range(count)]
    chance = random.Random(count)

    async def one(mine: list[Heard], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await listen(mine)

    tasks = [asyncio.create_task(one(mine, chance.uniform(0, SPREAD_S))) for mine in heard]
    try:
        done, _ = await asyncio.wait(tasks, timeout=SPREAD_S + seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return list(itertools.chain.from_iterable(heard))


def of_worker(client: WorkerClient) -> Listening:
    """Through the ABI."""

    async def listen(heard: list[Heard]) -> None:
        request = tts_pb2.StartSessionRequest(credit_flow_control=True)
        async with await client.start_session(request) as session, session.open_stream() as stream:
            for number in itertools.count():
                heard.append(mine := _next(heard))
                await stream.send(CONVERSATION, utterance_id=f"u{number}", end=True)
                async for frame in stream:
                    mine.arrivals.append(time.monotonic())
                    if frame.end:
                        break

    return listen


def of_orchestrator(server: str) -> Listening:
    """Through /v1/speak."""

    async def listen(heard: list[Heard]) -> None:
        async with Socket.open(server, "/v1/speak") as socket:
            while True:
                heard.append(mine := _next(heard))
                await socket.send(type="text", text=CONVERSATION, end=True)
                async for frame in _utterance(socket):
                    mine.arrivals.append(time.monotonic())
                    if frame.last or len(mine.arrivals) % REPORT_EVERY_FRAMES == 0:
                        end = frame.media_time_samples + frame.valid_samples
                        await socket.send(type="playout", utterance=frame.utterance, media_time_samples=end)

    return listen


def _next(heard: list[Heard]) -> Heard:
    """The utterance after those that were heard: its text is sent while the end of the one before is still played."""
    return Heard(sent_at=time.monotonic(), free_at=heard[-1].played_at if heard else 0.0)


async def _utterance(socket: Socket) -> AsyncIterator[Audio]:
    while True:
        message = await socket.receive()
        if isinstance(message, Audio):
            yield message
            if message.last:
                return


@contextlib.asynccontextmanager
async def queue_depths(client: WorkerClient) -> AsyncIterator[list[float]]:
    """What a worker tells of its queue meanwhile."""
    depths: list[float] = []

    async def watch() -> None:
        # The list is read while it grows, which a comprehension would not let it.
        async for state in client.watch_state():
            depths.append(float(state.load.queue_depth))  # noqa: PERF401

    task = asyncio.create_task(watch())
    try:
        yield depths
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
