"""One client's WebSocket: a session's listener, and the errors and closes of the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from aiohttp import WSMsgType
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition

from voiceplane_orchestrator.sessions.events import error_event
from voiceplane_orchestrator.transports.websocket import protocol

if TYPE_CHECKING:
    from aiohttp import WSMessage, web

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

HELLO_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
MAX_ERRORS = 20


class CloseSession(Exception):  # noqa: N818  # it is a way out, not an error of the program
    """The session ends, with an error that the client is told and a close code."""

    def __init__(self, error: VoiceplaneError, code: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code


class WebSocketConnection:
    """A Listener over a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, *, write_timeout_s: float, metrics: Metrics) -> None:
        self._socket = socket
        self._write_timeout_s = write_timeout_s
        self._metrics = metrics
        self._errors = 0
        self._active_s = self._now()
        self._sending: set[asyncio.Task[None]] = set()
        self.slow = asyncio.Event()

    async def send_frame(self, frame: SpeechFrame) -> None:
        """See Listener."""
        await self._send(protocol.encode_frame(frame))

    async def send_event(self, event: SessionEvent) -> None:
        """See Listener."""
        await self._send(protocol.encode_event(event))

    async def send_text(self, text: str) -> None:
        """Send an encoded message."""
        await self._send(text)

    async def receive(self, *, timeout_s: float) -> WSMessage | None:
        """The next message; None when the client has closed or is gone.

        Raises:
            CloseSession: Both sides were silent for so long.
        """
        while True:
            rest_s = self._active_s + timeout_s - self._now()
            if rest_s <= 0:
                text = f"nothing was sent or received for {timeout_s:g} s: the session ends"
                error = VoiceplaneError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE_TIMEOUT", text)
                raise CloseSession(error, protocol.CLOSE_TIMEOUT)
            try:
                message = await self._socket.receive(timeout=rest_s)
                break
            except TimeoutError:
                continue  # what was sent meanwhile counts, too
        self._active_s = self._now()
        return message if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} else None

    async def hello(self) -> protocol.Hello | None:
        """The client's first message; None when it has gone.

        Raises:
            CloseSession: It is something else, or did not come.
        """
        try:
            message = await self.receive(timeout_s=HELLO_TIMEOUT_S)
        except CloseSession:
            text = f"no hello in {HELLO_TIMEOUT_S:g} s: send it first"
            error = VoiceplaneError(grpc.StatusCode.DEADLINE_EXCEEDED, "HELLO_TIMEOUT", text)
            raise CloseSession(error, protocol.CLOSE_TIMEOUT) from None
        if message is None:
            return None
        try:
            hello = protocol.decode(message.data) if message.type is WSMsgType.TEXT else None
        except VoiceplaneError as error:
            raise CloseSession(error, protocol.CLOSE_PROTOCOL) from None
        if isinstance(hello, protocol.Hello):
            return hello
        text = 'the first message must be a hello, such as {"type":"hello","version":1}'
        raise CloseSession(failed_precondition("HELLO_EXPECTED", text, field="type"), protocol.CLOSE_PROTOCOL)

    async def send_error(self, error: VoiceplaneError) -> None:
        """Tell the client about an error of its own.

        Raises:
            CloseSession: There were too many.
        """
        self._metrics.error_told(error.reason)
        await self.send_event(error_event(error))
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            text = f"{MAX_ERRORS} messages were wrong: correct the client"
            raise CloseSession(exhausted("TOO_MANY_ERRORS", text), protocol.CLOSE_PROTOCOL)

    async def end(self, closing: CloseSession) -> None:
        """Tell why, if the client still reads, and close."""
        self._metrics.error_told(closing.error.reason)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if not self.slow.is_set():
                    await self._socket.send_str(protocol.encode_event(error_event(closing.error, fatal=True)))
                await self._socket.close(code=closing.code, message=closing.error.reason.encode())
        except (TimeoutError, ConnectionError):
            return  # a client that does not read is not told; its connection ends with the handler

    async def settle(self) -> None:
        """Return when nothing is being sent any more; the transport was closed or aborted."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=CLOSE_TIMEOUT_S)

    async def _send(self, data: str | bytes) -> None:
        if self.slow.is_set() or self._socket.closed:
            raise ConnectionResetError("the client is gone")
        # aiohttp lets all who wait for a slow client share one future: a sender that is cancelled would cancel it for
        # the others, and for those to come. So the sending itself is a task that nobody cancels.
        send = self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data)
        sending = asyncio.create_task(send, name="websocket-send")
        self._sending.add(sending)
        sending.add_done_callback(self._sent)
        done, _ = await asyncio.wait([sending], timeout=self._write_timeout_s)
        if not done:
            self.slow.set()
            raise ConnectionResetError("the client does not read")
        sending.result()
        self._active_s = self._now()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled():
            sending.exception()  # its sender may be gone; the receiving side notices a lost client as well

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def slow_reader() -> CloseSession:
    """The client does not read."""
    text = "the client does not read what it is sent: read faster, or ask for less"
    return CloseSession(exhausted("SLOW_READER", text), protocol.CLOSE_SLOW)
