"""PAUSE and STOP through the ABI while three sessions speak: until the last frame, and until the compute is free."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING

from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from bench.corpus import CONVERSATION
from bench.report import Section, spread

if TYPE_CHECKING:
    from voiceplane_client import SpeechStream, WorkerSession

    from tests.support.processes import Process

SESSIONS = 3
REQUEST = tts_pb2.StartSessionRequest(credit_flow_control=True)
BURST_FRAMES = 5


class Listener:
    """A session that speaks, and when its frames arrived."""

    def __init__(self, session: WorkerSession, stream: SpeechStream) -> None:
        self.session = session
        self.arrivals: list[float] = []
        self._stream = stream
        self._speaking = asyncio.Event()
        self._next = asyncio.Event()

    async def listen(self) -> None:
        """Take frames until the end."""
        async for _ in self._stream:
            self.arrivals.append(time.monotonic())
            self._next.set()
            if len(self.arrivals) >= 3 * BURST_FRAMES:
                self._speaking.set()

    async def speak(self, epoch: int) -> None:
        """Begin a new turn; returns when it is well under way, in its paced part."""
        self.arrivals.clear()
        self._speaking.clear()
        await self._stream.send(CONVERSATION, utterance_id=f"u{epoch}", epoch=epoch, end=True)
        await self._speaking.wait()

    async def next_frame(self) -> float:
        """When the next frame arrives."""
        self._next.clear()
        await self._next.wait()
        return self.arrivals[-1]

    def last_after_ms(self, moment: float) -> float:
        """How long after a moment the last frame arrived; 0 if none did."""
        return max(0.0, (self.arrivals[-1] - moment) * 1000)


async def barge_in(address: str, process: Process, *, rounds: int) -> list[Section]:
    """The tables of PAUSE, RESUME, STOP and jitter."""
    async with WorkerClient(address) as client, contextlib.AsyncExitStack() as stack:
        listeners = []
        for _ in range(SESSIONS):
            session = await stack.enter_async_context(await client.start_session(REQUEST))
            stream = await stack.enter_async_context(session.open_stream())
            listener = Listener(session, stream)
            task = asyncio.create_task(listener.listen())
            stack.callback(task.cancel)
            listeners.append(listener)
        pauses: list[float] = []
        resumes: list[float] = []
        stops: list[float] = []
        jitter: list[float] = []
        busy: list[float] = []
        for epoch in range(2, 2 * rounds + 2, 2):
            await asyncio.gather(*(listener.speak(epoch) for listener in listeners))
            await asyncio.sleep(0.3)
            jitter += [abs(ms - 20) for listener in listeners for ms in _intervals_ms(listener)]
            target = listeners[epoch // 2 % SESSIONS]
            pauses.append(await _pause(target))
            resumes.append(await _resume(target))
            stops.append(await _stop(target, epoch + 1))
            for listener in listeners:
                if listener is not target:
                    await listener.session.stop(epoch=epoch + 1)
            busy.append(await _cpu_after_stop(process))
    control = Section(
        f"Barge-in with {SESSIONS} sessions speaking, ms",
        ("from the call", "p50", "p95", "p99"),
        rows=[
            ("PAUSE to the last frame that arrives", *spread(pauses)),
            ("RESUME to the next frame", *spread(resumes)),
            ("STOP to the last frame that arrives", *spread(stops)),
            ("jitter of paced frames while all compute", *spread(jitter)),
            ("worker's CPU time in the 200 ms after STOP", *spread(busy)),
        ],
        note="0 means that no frame arrived after the call was made.",
    )
    return [control]


async def _pause(listener: Listener) -> float:
    called = time.monotonic()
    await listener.session.pause()
    await asyncio.sleep(0.1)  # the time in which a frame that should not come could come
    return listener.last_after_ms(called)


async def _resume(listener: Listener) -> float:
    arriving = asyncio.create_task(listener.next_frame())
    await asyncio.sleep(0)
    called = time.monotonic()
    await listener.session.resume()
    return (await arriving - called) * 1000


async def _stop(listener: Listener, epoch: int) -> float:
    called = time.monotonic()
    await listener.session.stop(epoch=epoch)
    await asyncio.sleep(0.1)
    return listener.last_after_ms(called)


async def _cpu_after_stop(process: Process) -> float:
    before = process.cpu_seconds()
    await asyncio.sleep(0.2)
    return (process.cpu_seconds() - before) * 1000


def _intervals_ms(listener: Listener) -> list[float]:
    paced = listener.arrivals[2 * BURST_FRAMES :]
    return [(after - before) * 1000 for before, after in itertools.pairwise(paced)]
