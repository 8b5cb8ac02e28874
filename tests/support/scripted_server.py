"""A scripted orchestrator that speaks docs/reference/websocket.md, for tests of its clients."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEADER = struct.Struct("<BBHIIQHH")
KEY = "a-key"


def frame(*, epoch: int, utterance: int, index: int, end: bool = False, valid: int = 960) -> bytes:
    """A reply frame as it goes over the wire; its samples tell where they belong."""
    head = HEADER.pack(1, 1, int(end), epoch, utterance, 960 * index, valid, 0)
    return head + samples(utterance=utterance, index=index)[: 2 * valid] + bytes(1920 - 2 * valid)


def samples(*, utterance: int, index: int) -> bytes:
    """960 samples, each another value than its neighbours."""
    return b"".join(((utterance * 7919 + 960 * index + at) % 32768).to_bytes(2, "little") for at in range(960))


@dataclass
class Peer:
    """The server's end of one WebSocket."""

    socket: web.WebSocketResponse
    hello: dict[str, Any] = field(default_factory=dict)
    playouts: list[tuple[int, int]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)

    async def event(self, kind: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def frames(self, *, epoch: int, utterance: int, count: int, start: int = 0, end: bool = True) -> None:
        for index in range(start, start + count):
            last = end and index == start + count - 1
            await self.socket.send_bytes(frame(epoch=epoch, utterance=utterance, index=index, end=last))

    async def next(self) -> dict[str, Any] | bytes:
        """The next message besides playout reports, which are kept; microphone audio is kept, too."""
        while True:
            message = await self.socket.receive()
            if message.type is WSMsgType.BINARY:
                self.audio += message.data
                return bytes(message.data)
            if message.type is not WSMsgType.TEXT:
                raise ConnectionResetError
            value: dict[str, Any] = json.loads(message.data)
            if value["type"] != "playout":
                return value
            self.playouts.append((value["utterance"], value["media_time_samples"]))

    async def until_heard(self, samples_heard: int) -> None:
        """Read until the client reports that so much was heard."""
        while not self.playouts or self.playouts[-1][1] < samples_heard:
            seen = len(self.playouts)
            message = await self.socket.receive()
            if message.type is WSMsgType.BINARY:
                self.audio += message.data
            elif message.type is WSMsgType.TEXT:
                value = json.loads(message.data)
                if value["type"] == "playout":
                    self.playouts.append((value["utterance"], value["media_time_samples"]))
            else:
                raise ConnectionResetError
            assert len(self.playouts) >= seen


class ScriptedServer:
    """Serves what a test scripts.

    Attributes:
        script: What happens after `ready`.
        models: The answer of GET /v1/models.
        changed: The changes of models that were asked for.
        peers: Every WebSocket so far.
        greets: Whether `hello` is answered.
        metrics: The answer of GET /metrics.
        grant: The answer of POST /v1/livekit/token; None: there is no WebRTC.
    """

    def __init__(self) -> None:
        self.script: Callable[[Peer], Awaitable[None]] | None = None
        self.refuse: dict[str, Any] | None = None
        self.models: list[dict[str, Any]] = [model("joe", state="resident")]
        self.changed: list[tuple[str, str]] = []
        self.fail_load: dict[str, Any] | None = None
        self.wants_key = False
        self.peers: list[Peer] = []
        self.greets = True
        self.grant: dict[str, Any] | None = None
        self.metrics = ""
        self.app = web.Application(middlewares=[self._key_check()])
        self.app.add_routes(
            [
                web.get("/healthz", self._ok),
                web.get("/readyz", self._ok),
                web.get("/v1/models", self._models),
                web.get("/v1/transports", self._transports),
                web.post("/v1/livekit/token", self._token),
                web.post("/v1/livekit/agent", self._ok),
                web.get("/v1/workers", self._workers),
                web.get("/metrics", self._metrics),
                web.post("/v1/models/{id}/{action}", self._change),
                web.get("/v1/{kind:talk|speak}", self._socket),
            ]
        )

    def _key_check(self) -> Any:
        @web.middleware
        async def check(request: web.Request, handler: Any) -> web.StreamResponse:
            if self.wants_key and request.headers.get("Authorization") != f"Bearer {KEY}":
                return web.json_response({"error": {"code": "UNAUTHENTICATED", "message": "no"}}, status=401)
            response: web.StreamResponse = await handler(request)
            return response

        return check

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _transports(self, _: web.Request) -> web.Response:
        return web.json_response({"webrtc": self.grant is not None, "websocket": True})

    async def _token(self, _: web.Request) -> web.Response:
        return web.json_response(self.grant)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"models": self.models})

    async def _workers(self, _: web.Request) -> web.Response:
        worker = {
            "address": "127.0.0.1:7000", "worker_id": "w1", "ready": True, "draining": False, "sessions": 1,
            "max_sessions": 16, "queue_depth": 0, "first_audio_p50_ms": 31.5, "rtf_p50": 0.08,
        }  # fmt: skip
        return web.json_response({"workers": [worker]})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics)

    async def _change(self, request: web.Request) -> web.Response:
        self.changed.append((request.match_info["id"], request.match_info["action"]))
        if self.fail_load:
            return web.json_response({"error": self.fail_load}, status=503)
        return web.json_response({})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("voiceplane.v1",))
        await socket.prepare(request)
        assert socket.ws_protocol == "voiceplane.v1"
        peer = Peer(socket)
        self.peers.append(peer)
        first = await socket.receive()
        if first.type is not WSMsgType.TEXT:
            return socket  # the client has gone
        peer.hello = json.loads(first.data)
        if not self.greets:
            await socket.receive()
            return socket
        if self.refuse:
            await peer.event("error", fatal=False, **self.refuse)
            return socket
        await peer.event("ready", version=1, session_id="s", client_id="c", epoch=0, model="joe", voice="joe")
        assert self.script is not None, "script the server first"
        try:
            async with asyncio.timeout(20):
                await self.script(peer)
        except ConnectionResetError:
            pass
        return socket


def model(model_id: str, *, state: str, reason: str = "", message: str = "", **more: int) -> dict[str, Any]:
    """One of GET /v1/models; with more of what a worker tells of it."""
    place = {"worker": "127.0.0.1:7000", "state": state, "reason": reason, "message": message, "references": 1}
    return {
        "id": model_id, "family": "piper", "is_default": True, "voices": [{"name": "joe", "language": "en-US"}],
        "workers": [{**place, "memory_bytes": 63_000_000, **more}],
    }  # fmt: skip


class Recording:
    """A sink in memory."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.closed = False

    async def write(self, pcm: bytes) -> None:
        self.pcm += pcm

    async def close(self) -> None:
        self.closed = True
