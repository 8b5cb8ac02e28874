"""One client's WebSocket: the output of a session, and the errors and closes of the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from aiohttp import WSMsgType
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition

from voiceplane_orchestrator.sessions.events import error_event
from voiceplane_orchestrator.transports import messages
from voiceplane_orchestrator.transports.websocket import protocol

if TYPE_CHECKING:
    from aiohttp import WSMessage, web

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

HELLO_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
MAX_ERRORS = 20


class CloseSession(Exception):  # noqa: N818  # control flow, not an error of the program
    """Ends the session: the client gets the error, then a close frame with the code."""

    def __init__(self, error: VoiceplaneError, code: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code


class WebSocketConnection:
    """An OutputTransport over a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, *, write_timeout_s: float, metrics: Metrics) -> None:
        self._socket = socket
        self._write_timeout_s = write_timeout_s
        self._metrics = metrics
        self._errors = 0
        self._active_s = self._now()
        self._sending: set[asyncio.Task[None]] = set()
        self.slow = asyncio.Event()

    async def send_frame(self, frame: SpeechFrame) -> None:
        """See OutputTransport."""
        await self._send(protocol.encode_frame(frame))

    async def send_event(self, event: SessionEvent) -> None:
        """See OutputTransport."""
        await self._send(messages.encode_event(event))

    async def send_text(self, text: str) -> None:
        """Send an encoded message."""
        await self._send(text)

    async def receive(self, *, timeout_s: float) -> WSMessage | None:
        """The next message; None when the client has closed the connection or is gone.

        Raises:
            CloseSession: Neither side has sent anything for that time.
        """
        while True:
            rest_s = self._active_s + timeout_s - self._now()
            if rest_s <= 0:
                text = f"nothing was sent or received for {timeout_s:g} s, so the session ends: connect again"
                error = VoiceplaneError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE_TIMEOUT", text)
                raise CloseSession(error, protocol.CLOSE_TIMEOUT)
            try:
                message = await self._socket.receive(timeout=rest_s)
                break
            except TimeoutError:
                continue  # what was sent meanwhile counts as activity
        self._active_s = self._now()
        return message if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} else None

    async def hello(self) -> messages.Hello | None:
        """The client's first message; None when the client is gone.

        Raises:
            CloseSession: It is another message, or it did not arrive in time.
        """
        try:
            message = await self.receive(timeout_s=HELLO_TIMEOUT_S)
        except CloseSession:
            text = f"no hello arrived within {HELLO_TIMEOUT_S:g} s: send it first"
            error = VoiceplaneError(grpc.StatusCode.DEADLINE_EXCEEDED, "HELLO_TIMEOUT", text)
            raise CloseSession(error, protocol.CLOSE_TIMEOUT) from None
        if message is None:
            return None
        try:
            hello = messages.decode(message.data) if message.type is WSMsgType.TEXT else None
        except VoiceplaneError as error:
            raise CloseSession(error, protocol.CLOSE_PROTOCOL) from None
        if isinstance(hello, messages.Hello):
            return hello
        text = 'the first message must be a hello, such as {"type":"hello","version":1}'
        raise CloseSession(failed_precondition("HELLO_EXPECTED", text, field="type"), protocol.CLOSE_PROTOCOL)

    async def send_error(self, error: VoiceplaneError) -> None:
        """Send the client an error that one of its messages caused.

        Raises:
            CloseSession: The client has caused MAX_ERRORS errors.
        """
        self._metrics.error_told(error.reason)
        await self.send_event(error_event(error))
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            text = f"{MAX_ERRORS} messages were invalid: correct the client"
            raise CloseSession(exhausted("TOO_MANY_ERRORS", text), protocol.CLOSE_PROTOCOL)

    async def end(self, closing: CloseSession) -> None:
        """Send the reason, if the client still reads, and close."""
        self._metrics.error_told(closing.error.reason)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if not self.slow.is_set():
                    await self._socket.send_str(messages.encode_event(error_event(closing.error, fatal=True)))
                await self._socket.close(code=closing.code, message=closing.error.reason.encode())
        except (TimeoutError, ConnectionError):
            return  # the client does not read; the connection ends with the handler

    async def wait_sent(self) -> None:
        """Wait for pending sends to end, after the connection was closed or aborted."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=CLOSE_TIMEOUT_S)

    async def _send(self, data: str | bytes) -> None:
        if self.slow.is_set() or self._socket.closed:
            raise ConnectionResetError("the client is gone")
        # In aiohttp all senders that wait for a slow client share one future. Cancelling one sender would cancel it for
        # all of them. So each send is a task of its own that is never cancelled.
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
            sending.exception()  # retrieved, since its sender may be gone; receiving detects a lost client, too

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def slow_reader() -> CloseSession:
    """Closes the session of a client that does not read."""
    text = "the client does not read what is sent: read faster, or request less"
    return CloseSession(exhausted("SLOW_READER", text), protocol.CLOSE_SLOW)
