"""A spoken interruption over the WebSocket: from its onset in the microphone's audio to silence at the client."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from bench.corpus import CONVERSATION
from bench.report import Section, spread
from bench.websocket import Audio, Socket
from tests.support.speech import onset_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
CHUNK_MS = 20
CHUNK_SAMPLES = RATE_HZ * CHUNK_MS // 1000


async def interruptions(server: str, speech: list[NDArray[np.float32]], *, rounds: int) -> Section:
    """The table of spoken interruptions.

    Args:
        server: The orchestrator's URL.
        speech: Recordings at 16 kHz, one for each interruption.
        rounds: How many.
    """
    pauses: list[float] = []
    stops: list[float] = []
    for number in range(rounds):
        paused_ms, stopped_ms = await _interrupt(server, speech[number % len(speech)])
        pauses.append(paused_ms)
        stops.append(stopped_ms)
    return Section(
        "A spoken interruption over the WebSocket, ms from the onset in the microphone's audio",
        ("until", "p50", "p95", "p99"),
        rows=[("silence at the client (pause)", *spread(pauses)), ("the reply is given up (stop)", *spread(stops))],
        note="The microphone sends 20 ms of audio every 20 ms; the onset counts from when its sample was recorded.",
    )


async def _interrupt(server: str, speech: NDArray[np.float32]) -> tuple[float, float]:
    async with Socket.open(server, "/v1/talk", sample_rate_hz=RATE_HZ) as socket:
        microphone = _Microphone(socket)
        sending = asyncio.create_task(microphone.run())
        playing = _Playout(socket)
        try:
            await socket.send(type="say", text=CONVERSATION)
            await playing.until_heard(frames=75)
            microphone.speech = speech
            paused_at = await playing.until("pause")
            stopped_at = await playing.until("stop")
        finally:
            sending.cancel()
    onset_at = microphone.speech_began_at + onset_sample(speech) / RATE_HZ
    return (paused_at - onset_at) * 1000, (stopped_at - onset_at) * 1000


class _Microphone:
    """Sends faint noise, and speech when there is some, in real time: each chunk when its last sample is recorded."""

    def __init__(self, socket: Socket) -> None:
        self.speech: NDArray[np.float32] | None = None
        self.speech_began_at = 0.0
        self._socket = socket
        self._noise = np.random.default_rng(1)

    async def run(self) -> None:
        position = 0
        due = time.monotonic()
        while True:
            chunk = self._noise.normal(0, 2e-4, CHUNK_SAMPLES)
            if self.speech is not None and position < len(self.speech):
                self.speech_began_at = self.speech_began_at or due
                part = self.speech[position : position + CHUNK_SAMPLES]
                chunk[: len(part)] += part
                position += CHUNK_SAMPLES
            due += CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._socket.send_audio((chunk * 32767).astype("<i2").tobytes())


class _Playout:
    """Takes what the server sends, and reports what a listener who plays at once has heard."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._frames = 0
        self._began = 0.0

    async def until_heard(self, *, frames: int) -> None:
        while self._frames < frames:
            await self._take()

    async def until(self, kind: str) -> float:
        while await self._take() != kind:
            pass
        return time.monotonic()

    async def _take(self) -> str:
        message = await self._socket.receive()
        if not isinstance(message, Audio):
            return str(message["type"])
        if not self._frames:
            self._began = time.monotonic()
        self._frames += 1
        if self._frames % 5 == 0:
            played = round((time.monotonic() - self._began) * 48_000)
            cursor = min(message.media_time_samples, played)
            await self._socket.send(type="playout", utterance=message.utterance, media_time_samples=cursor)
        return "audio"
