"""A client that plays what it gets at once, and reports its playout."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.websocket import Audio, Socket

DEADLINE_S = 60


class PlayingClient:
    """A client that plays at once: it keeps what it gets, and reports its playout at the end of each utterance."""

    def __init__(self, socket: Socket) -> None:
        self.frames: list[Audio] = []
        self.events: list[dict[str, Any]] = []
        self._socket = socket

    @property
    def is_whole(self) -> bool:
        """Whether every frame of an utterance came, once and in its order, up to the last one."""
        times = [frame.media_time_samples for frame in self.frames]
        return times == [960 * number for number in range(len(times))] and bool(self.frames) and self.frames[-1].last

    def has_received(self, kind: str) -> bool:
        """Whether an event of a kind has come."""
        return any(event["type"] == kind for event in self.events)

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Take messages up to an event."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self._socket.receive()
                if isinstance(message, Audio):
                    await self._play(message)
                    continue
                self.events.append(message)
                if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                    return message

    async def until_frames(self, count: int) -> None:
        """Take messages until so many frames have come."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.frames) < count:
                message = await self._socket.receive()
                if isinstance(message, Audio):
                    await self._play(message)
                else:
                    self.events.append(message)

    async def _play(self, frame: Audio) -> None:
        self.frames.append(frame)
        if frame.last or len(self.frames) % 10 == 0:
            cursor = frame.media_time_samples + frame.valid_samples
            await self._socket.send(type="playout", utterance=frame.utterance, media_time_samples=cursor)
