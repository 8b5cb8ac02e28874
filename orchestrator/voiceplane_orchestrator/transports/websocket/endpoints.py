"""The WebSocket endpoints /v1/talk and /v1/speak, from the handshake to the close."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, hdrs, web
from voiceplane_common.errors import VoiceplaneError, failed_precondition, internal, invalid
from voiceplane_common.logs import get_logger
from voiceplane_common.tasks import first_to_end, until_first

from voiceplane_orchestrator.sessions.conversation import Conversation
from voiceplane_orchestrator.sessions.streaming_tts import StreamingTtsSession
from voiceplane_orchestrator.sessions.voice_selection import selected_event
from voiceplane_orchestrator.transports import messages
from voiceplane_orchestrator.transports.admission import shutting_down
from voiceplane_orchestrator.transports.send_buffer import limit_unsent_bytes
from voiceplane_orchestrator.transports.websocket import protocol
from voiceplane_orchestrator.transports.websocket.connection import CloseSession, WebSocketConnection, slow_reader

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission

HEARTBEAT_S = 5.0
SEND_BUFFER_BYTES = 64 * 1024
CLOSE_GOING_AWAY = 1001
CLOSE_INTERNAL = 1011

Session = Conversation | StreamingTtsSession

_log = get_logger("websocket")


class WebSocketEndpoints:
    """Serves /v1/talk and /v1/speak."""

    def __init__(self, factory: SessionFactory, *, admission: SessionAdmission) -> None:
        self._factory = factory
        self._limits = factory.settings.limits
        self._admission = admission

    async def talk(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/talk."""
        return await self._serve(request, microphone=True)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/speak."""
        return await self._serve(request, microphone=False)

    async def _serve(self, request: web.Request, *, microphone: bool) -> web.StreamResponse:
        _check_subprotocol(request)
        with self._admission.admit("talk" if microphone else "speak") as session_id:
            socket = web.WebSocketResponse(
                protocols=(protocol.SUBPROTOCOL,),
                heartbeat=HEARTBEAT_S,
                max_msg_size=protocol.MAX_MESSAGE_BYTES,
                timeout=1.0,
                writer_limit=SEND_BUFFER_BYTES,
                compress=False,
            )
            await socket.prepare(request)
            limit_unsent_bytes(request)
            connection = WebSocketConnection(
                socket, write_timeout_s=self._limits.write_timeout_ms / 1000, metrics=self._factory.metrics
            )
            try:
                await self._converse(connection, session_id=session_id, microphone=microphone)
            except CloseSession as closing:
                await connection.end(closing)
            except ConnectionError:
                if connection.slow.is_set():
                    await connection.end(slow_reader())
            except Exception as error:  # the client gets an error in any case
                _log.error("session failed", session_id=session_id, exc_info=error)
                await connection.end(CloseSession(internal(), CLOSE_INTERNAL))
            finally:
                _abort_unsent(request)
                await connection.wait_sent()
            return socket

    async def _converse(self, connection: WebSocketConnection, *, session_id: str, microphone: bool) -> None:
        hello = await connection.hello()
        if hello is None:
            return
        try:
            rate_hz = protocol.check_hello(hello, microphone=microphone)
            selection = await self._factory.selection(hello.client_id or "", **hello.chosen())
        except VoiceplaneError as error:
            raise CloseSession(error, protocol.CLOSE_PROTOCOL) from None
        client_id = hello.client_id or uuid.uuid4().hex
        self._factory.remember(client_id, selection)
        ready = self._factory.ready(session_id=session_id, client_id=client_id, selection=selection)
        await connection.send_text(ready)
        session: Session
        if microphone:
            session = self._factory.conversation(
                session_id=session_id, output=connection, selection=selection, sample_rate_hz=rate_hz
            )
        else:
            session = self._factory.streaming_tts(
                session_id=session_id, output=connection, selection=selection, pacing=hello.pacing or "realtime"
            )
        tasks = [
            asyncio.create_task(session.run(), name="session-run"),
            asyncio.create_task(self._receive(connection, session, client_id), name="session-receive"),
            asyncio.create_task(connection.slow.wait(), name="session-slow"),
            asyncio.create_task(self._wait_shutdown(session), name="session-drain"),
        ]
        try:
            done = await until_first(tasks)
        finally:
            await session.close()
        if connection.slow.is_set():
            raise slow_reader()
        if tasks[3] in done:
            raise CloseSession(shutting_down(), CLOSE_GOING_AWAY)
        for task in done:
            task.result()

    async def _wait_shutdown(self, session: Session) -> None:
        """Return when the shutdown ends the session: when it is idle, or at the drain timeout."""
        await self._admission.finishing.wait()
        await first_to_end(session.wait_idle(), self._admission.ending.wait())

    async def _receive(self, connection: WebSocketConnection, session: Session, client_id: str) -> None:
        timeout_s = self._limits.idle_timeout_ms / 1000
        while (message := await connection.receive(timeout_s=timeout_s)) is not None:
            try:
                await self._handle_command(message, connection, session, client_id)
            except VoiceplaneError as error:
                await connection.send_error(error)

    async def _handle_command(
        self, message: WSMessage, connection: WebSocketConnection, session: Session, client_id: str
    ) -> None:
        if message.type is WSMsgType.BINARY:
            if not isinstance(session, Conversation):
                raise invalid("", "/v1/speak takes no audio: use /v1/talk", reason="INVALID_MESSAGE")
            session.push_audio(message.data)
            return
        control = messages.decode(message.data)
        match control:
            case messages.Playout():
                session.playout(utterance=control.utterance, media_time_samples=control.media_time_samples)
            case messages.Select():
                selection = await self._factory.selection(client_id, **control.chosen())
                self._factory.remember(client_id, selection)
                session.select(selection)
                await connection.send_event(selected_event(selection))
            case messages.Hello():
                raise failed_precondition("HELLO_TWICE", "hello may be sent only once: send select to change the voice")
            case _ if isinstance(session, Conversation):
                _talk(session, control)
            case _:
                await _speak(session, control)


def _talk(session: Conversation, control: messages.ClientMessage) -> None:
    match control:
        case messages.Say():
            session.say(control.text)
        case messages.Interrupt():
            session.interrupt()
        case _:
            raise invalid("type", f"{control.type} belongs to /v1/speak, not to /v1/talk", reason="INVALID_MESSAGE")


async def _speak(session: StreamingTtsSession, control: messages.ClientMessage) -> None:
    match control:
        case messages.Text():
            session.text(control.text, end=control.end)
        case messages.Interrupt():
            await session.interrupt()
        case messages.PauseCommand():
            await session.pause()
        case messages.ResumeCommand():
            await session.resume()
        case _:
            raise invalid("type", f"{control.type} belongs to /v1/talk, not to /v1/speak", reason="INVALID_MESSAGE")


def _check_subprotocol(request: web.Request) -> None:
    """Refuse a list without our subprotocol: aiohttp would log the list, and one entry may be an API key."""
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL)
    if offered is not None and protocol.SUBPROTOCOL not in {name.strip() for name in offered.split(",")}:
        raise invalid("Sec-WebSocket-Protocol", f"offer the subprotocol {protocol.SUBPROTOCOL}")


def _abort_unsent(request: web.Request) -> None:
    """Abort a connection with unsent data, which the kernel would otherwise keep for as long as it retries."""
    transport = request.transport
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()
