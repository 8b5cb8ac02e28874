"""An orchestrator on loopback with a real mock worker, a scripted recognizer and a client."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import websockets
from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_speech_input.asr.recognizer import RecognitionResult
from voiceplane_speech_input.vad.silero import HOP_SAMPLES, WINDOW_SAMPLES, VadFrame
from voiceplane_worker.app import Worker

from tests.support.workers import mock_worker_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_speech_input.audio.format import Samples

# The header as docs/reference/websocket.md says it, written down a second time.
HEADER = struct.Struct("<BBHIIQHH")


class LoudIsVoice:
    """Voice activity that cannot be mistaken: every window that is not silent is a voice."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._start = 0

    def process(self, samples: Samples) -> list[VadFrame]:
        self._rest = np.concatenate([self._rest, samples])
        frames = []
        while self._rest.size >= WINDOW_SAMPLES:
            loud = float(np.abs(self._rest[:WINDOW_SAMPLES]).max()) > 0.1
            frames.append(VadFrame(start_sample=self._start, probability=float(loud), level_dbfs=-10.0))
            self._rest = self._rest[HOP_SAMPLES:]
            self._start += HOP_SAMPLES
        return frames


class ScriptedRecognizer:
    """Hears one text in whatever is said, and remembers how long the audio was."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.longest_ms = 0

    async def start(self) -> None:
        pass

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        duration_ms = samples.size // 16
        self.longest_ms = max(self.longest_ms, duration_ms)
        return RecognitionResult(
            text=self.text, language="en", avg_logprob=0.0, no_speech_probability=0.0, duration_ms=duration_ms
        )

    async def aclose(self) -> None:
        pass


@dataclass(slots=True)
class Frame:
    flags: int
    epoch: int
    utterance: int
    media_time_samples: int
    valid_samples: int
    pcm: bytes


@dataclass(slots=True)
class Client:
    """A WebSocket client that shares no code with the server."""

    socket: websockets.ClientConnection
    seen: list[Frame | dict[str, Any]] = field(default_factory=list)

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> Frame | dict[str, Any]:
        message = await self.socket.recv()
        item: Frame | dict[str, Any]
        if isinstance(message, str):
            item = json.loads(message)
        else:
            version, kind, flags, epoch, utterance, media_time, valid, zero = HEADER.unpack_from(message)
            assert (version, kind, zero) == (1, 1, 0)
            item = Frame(flags, epoch, utterance, media_time, valid, message[HEADER.size :])
        self.seen.append(item)
        return item

    async def until(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next event of a type with these values."""
        while True:
            item = await self.next()
            if isinstance(item, dict) and item["type"] == kind and fields.items() <= item.items():
                return item

    async def frame(self) -> Frame:
        """The next frame."""
        while True:
            item = await self.next()
            if isinstance(item, Frame):
                return item

    def frames(self, utterance: int) -> list[Frame]:
        return [item for item in self.seen if isinstance(item, Frame) and item.utterance == utterance]

    async def play_to(self, utterance: int, samples: int) -> None:
        await self.send("playout", utterance=utterance, media_time_samples=samples)


@contextlib.asynccontextmanager
async def orchestrator(*, recognizer: ScriptedRecognizer | None = None, **sections: Any) -> AsyncIterator[Orchestrator]:
    """An orchestrator with one mock worker, both in this process and ready."""
    async with Worker(mock_worker_settings()) as worker:
        settings = OrchestratorSettings.model_validate(
            {"server": {"listen": "127.0.0.1:0"}, "discovery": {"workers": [worker.address]}, **sections}
        )
        async with Orchestrator(
            settings, recognizer=recognizer or ScriptedRecognizer(), voice_activity=LoudIsVoice
        ) as running:
            await running.wait_ready(timeout_s=20)
            yield running


@contextlib.asynccontextmanager
async def client(running: Orchestrator, path: str, **hello: object) -> AsyncIterator[Client]:
    """A client that has said hello, and has been answered."""
    async with websockets.connect(running.url.replace("http", "ws") + path, subprotocols=["voiceplane.v1"]) as socket:  # type: ignore[list-item]  # a NewType of str
        connected = Client(socket)
        await connected.send("hello", version=1, **hello)
        await connected.until("ready")
        yield connected
