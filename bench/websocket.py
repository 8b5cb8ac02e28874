"""A small client of docs/reference/websocket.md that shares no code with the server, and so finds its errors."""

from __future__ import annotations

import contextlib
import json
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import websockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEADER = struct.Struct("<BBHIIQHH")


@dataclass(frozen=True, slots=True)
class Audio:
    """One frame."""

    epoch: int
    utterance: int
    media_time_samples: int
    valid_samples: int
    last: bool
    pcm: bytes

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Read a binary message."""
        _, _, flags, epoch, utterance, media_time, valid, _ = HEADER.unpack_from(message)
        return cls(epoch, utterance, media_time, valid, bool(flags & 1), message[HEADER.size :])


class ServerError(RuntimeError):
    """The server has told an error."""

    def __init__(self, *, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Socket:
    """A session on /v1/talk or /v1/speak."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: str, path: str, *, max_queue: int = 64, **hello: Any) -> AsyncIterator[Self]:
        """Connect and say hello; at most max_queue messages are taken from the network before they are asked for."""
        url = server.replace("http", "ws", 1) + path
        subprotocols = [websockets.Subprotocol("voiceplane.v1")]
        async with websockets.connect(url, subprotocols=subprotocols, max_queue=max_queue) as connection:
            socket = cls(connection)
            await socket.send(type="hello", version=1, **hello)
            await socket.event("ready")
            yield socket

    async def send(self, **message: Any) -> None:
        """Send a control message."""
        await self._connection.send(json.dumps(message))

    async def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio."""
        await self._connection.send(pcm)

    def vanish(self) -> None:
        """Break the connection without a word."""
        self._connection.transport.abort()

    async def receive(self) -> dict[str, Any] | Audio:
        """The next message."""
        message = await self._connection.recv()
        if isinstance(message, bytes):
            return Audio.parse(message)
        event: dict[str, Any] = json.loads(message)
        if event["type"] == "error":
            raise ServerError(reason=event["reason"], message=event["message"])
        return event

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of a kind; what comes before it is dropped."""
        while True:
            message = await self.receive()
            if isinstance(message, dict) and message["type"] == kind:
                return message


async def first_audio_ms(socket: Socket, text: str) -> float:
    """Speak a text on /v1/speak until its first frame, then stop it."""
    began = time.monotonic()
    await socket.send(type="text", text=text, end=True)
    while not isinstance(await socket.receive(), Audio):
        pass
    heard_ms = (time.monotonic() - began) * 1000
    await socket.send(type="interrupt")
    await socket.event("stop")
    return heard_ms
