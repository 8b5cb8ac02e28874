"""The orchestrator's HTTP and WebSocket interface, as docs/reference/websocket.md describes it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, Self
from urllib.parse import quote

import aiohttp
import grpc
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.model_declaration import ModelDeclaration
from voiceplane_cli.model_info import ModelInfo, WorkerInfo, model_from_json, worker_from_json
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.playout import ReplyFrame

SUBPROTOCOL = "voiceplane.v1"
VERSION = 1
DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_DEADLINE_S = 5.0
ANSWER_DEADLINE_S = 10.0
LOAD_DEADLINE_S = 300.0
HELLO_DEADLINE_S = 60.0
"""The first session of a model may have to load it."""

Event = Mapping[str, Any]
Action = Literal["load", "unload", "reload"]

_HEADER = struct.Struct("<BBHIIQHH")
_REPLY_AUDIO = 1
_LAST_FRAME = 1


def decode(message: bytes) -> ReplyFrame | None:
    """A binary message of the server; None for a kind that is not reply audio.

    Raises:
        CliError: It is shorter than it says, or of another version.
    """
    if len(message) < _HEADER.size:
        raise CliError("the server sent a frame without its header: is it a Voiceplane server?")
    version, kind, flags, epoch, utterance, media_time, valid, _ = _HEADER.unpack_from(message)
    if version != VERSION:
        raise CliError(f"the server sends frames of version {version}, not {VERSION}: upgrade voiceplane")
    if kind != _REPLY_AUDIO:
        return None
    pcm = message[_HEADER.size : _HEADER.size + 2 * valid]
    if len(pcm) != 2 * valid:
        raise CliError("the server sent a truncated frame")
    return ReplyFrame(
        epoch=epoch, utterance=utterance, media_time_samples=media_time, end=bool(flags & _LAST_FRAME), pcm=pcm
    )


class Conversation:
    """An open WebSocket after its `ready`.

    Attributes:
        ready: What the server answered to `hello`.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, ready: Event) -> None:
        self.ready = ready
        self._socket = socket

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a control message."""
        await self._socket.send_str(json.dumps({"type": kind, **fields}))

    async def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio: mono s16le at the rate of `hello`."""
        await self._socket.send_bytes(pcm)

    async def __aiter__(self) -> AsyncIterator[ReplyFrame | Event]:
        """Frames and events as they arrive, until the server closes.

        Raises:
            VoiceplaneError: A fatal error of the server.
            CliError: The connection broke.
        """
        while (item := await _receive(self._socket)) is not None:
            if isinstance(item, ReplyFrame):
                yield item
            elif item.get("type") == "error" and item.get("fatal"):
                raise error_from_json(item)
            elif item:
                yield item


class OrchestratorClient:
    """A client of one orchestrator; use as an asynchronous context manager."""

    def __init__(self, url: str, *, api_key: str = "") -> None:
        """Prepare; the first call connects.

        Args:
            url: Such as "http://127.0.0.1:8080".
            api_key: Empty for none.

        Raises:
            CliError: The address is no URL of HTTP.
        """
        if not url.startswith(("http://", "https://")):
            raise CliError(f"--server must be a URL such as {DEFAULT_URL}, not {url!r}", code=ExitCode.USAGE)
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def is_ready(self) -> bool:
        """Whether a session could start now; False if there is no server."""
        try:
            async with self._http.get(f"{self.url}/readyz", timeout=_within(ANSWER_DEADLINE_S)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def is_alive(self) -> bool:
        """Whether a server answers at all."""
        try:
            async with self._http.get(f"{self.url}/healthz", timeout=_within(ANSWER_DEADLINE_S)):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def models(self) -> list[ModelInfo]:
        """Every model, with its state on each worker."""
        answer = await self._request("GET", "/v1/models", deadline_s=ANSWER_DEADLINE_S)
        with _understood(self.url):
            return [model_from_json(each) for each in answer["models"]]

    async def workers(self) -> list[WorkerInfo]:
        """Every worker."""
        answer = await self._request("GET", "/v1/workers", deadline_s=ANSWER_DEADLINE_S)
        with _understood(self.url):
            return [worker_from_json(each) for each in answer["workers"]]

    async def metrics(self) -> str:
        """The server's Prometheus metrics, in the text format."""
        status, body = await self._read("GET", "/metrics", deadline_s=ANSWER_DEADLINE_S)
        if status >= 400:
            raise self._refused(status)
        return body.decode(errors="replace")

    async def change(self, model_id: str, action: Action, *, declaration: ModelDeclaration | None = None) -> None:
        """Load, unload or reload a model; returns when it is done. A load may take as long as its fetch."""
        path = f"/v1/models/{quote(model_id, safe='')}/{action}"
        body = (declaration.body if declaration else None) or None
        deadline_s = None if action == "load" else LOAD_DEADLINE_S
        await self._request("POST", path, deadline_s=deadline_s, body=body)

    @asynccontextmanager
    async def connect(self, path: str, **hello: Any) -> AsyncIterator[Conversation]:
        """Open a session.

        Args:
            path: "/v1/talk" or "/v1/speak".
            hello: Its fields besides type and version; those that are None are left out.

        Raises:
            VoiceplaneError: The server refuses, and says why.
            CliError: There is no server, or the key is wrong.
        """
        given = {name: value for name, value in hello.items() if value is not None}
        try:
            socket = await self._http.ws_connect(
                self.url + path,
                protocols=(SUBPROTOCOL,),
                max_msg_size=1 << 20,
                timeout=aiohttp.ClientWSTimeout(ws_close=2),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise self._refused(error.status) from None
        except (aiohttp.ClientError, TimeoutError):
            raise self._unreachable() from None
        async with socket:
            try:
                async with _deadline(HELLO_DEADLINE_S, f"{self.url} did not answer"):
                    await socket.send_str(json.dumps({"type": "hello", "version": VERSION, **given}))
                    ready = await self._await_ready(socket)
                yield Conversation(socket, ready=ready)
            except (aiohttp.ClientError, ConnectionResetError):  # a BrokenPipeError is of the caller's own output
                raise _broken() from None

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "enter the client first"  # noqa: S101  # a mistake of ours
        return self._session

    async def _await_ready(self, socket: aiohttp.ClientWebSocketResponse) -> Event:
        while (item := await _receive(socket)) is not None:
            if isinstance(item, ReplyFrame):
                continue
            if item.get("type") == "error":
                raise error_from_json(item)
            if item.get("type") == "ready":
                return item
        raise _broken()

    async def _read(
        self, method: str, path: str, *, deadline_s: float | None, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        try:
            async with self._http.request(method, self.url + path, timeout=_within(deadline_s), json=body) as response:
                return response.status, await response.read()
        except TimeoutError:
            within = CONNECT_DEADLINE_S if deadline_s is None else deadline_s
            raise CliError(f"{self.url} did not answer within {within:.0f} s", code=ExitCode.UNREACHABLE) from None
        except aiohttp.ClientError:
            raise self._unreachable() from None

    async def _request(
        self, method: str, path: str, *, deadline_s: float | None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        status, content = await self._read(method, path, deadline_s=deadline_s, body=body)
        try:
            answer = json.loads(content) if content.strip() else {}
        except ValueError:
            answer = {}
        if status == 401:
            raise self._refused(status)
        if status >= 400:
            problem = answer.get("error") if isinstance(answer, dict) else None
            raise error_from_json(problem) if isinstance(problem, dict) else self._refused(status)
        return answer if isinstance(answer, dict) else {}

    def _refused(self, status: int) -> CliError:
        if status == 401:
            message = f"{self.url} requires an API key: set --api-key or VOICEPLANE_API_KEY"
            return CliError(message, code=ExitCode.DENIED)
        if status == 503:
            return CliError(f"{self.url} accepts no session now: retry shortly", code=ExitCode.UNREACHABLE)
        return CliError(f"{self.url} answered HTTP {status}: is it a Voiceplane server?", code=ExitCode.UNREACHABLE)

    def _unreachable(self) -> CliError:
        remedy = "start one with `voiceplane demo`, or set --server URL"
        return CliError(f"no server at {self.url}: {remedy}", code=ExitCode.UNREACHABLE)


def error_from_json(value: Mapping[str, Any]) -> VoiceplaneError:
    """The server's error."""
    name = str(value.get("code", ""))
    code = grpc.StatusCode[name] if name in grpc.StatusCode.__members__ else grpc.StatusCode.UNKNOWN
    message = str(value.get("message") or value.get("reason") or "the server reports an error without a message")
    return VoiceplaneError(
        code,
        str(value.get("reason") or name),
        message,
        field=str(value.get("field") or ""),
        retry_after_ms=value.get("retry_after_ms"),
    )


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> ReplyFrame | Event | None:
    """The next frame or event, an empty event for what is to be ignored, None at a clean close."""
    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        value = json.loads(message.data)
        return value if isinstance(value, dict) else {}
    if message.type is aiohttp.WSMsgType.BINARY:
        return decode(message.data) or {}
    if message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.OK:
        return None
    if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}:
        raise _broken()
    return {}


def _broken() -> CliError:
    return CliError(
        "the connection to the server was lost: see the server's log, then retry", code=ExitCode.UNREACHABLE
    )


def _within(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_DEADLINE_S)


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """Turns an answer of another shape into an error that says so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError):
        message = f"{url} sent an unexpected response: is it a Voiceplane server of this version?"
        raise CliError(message) from None


@asynccontextmanager
async def _deadline(seconds: float, message: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CliError(f"{message} within {seconds:.0f} s", code=ExitCode.UNREACHABLE) from None
