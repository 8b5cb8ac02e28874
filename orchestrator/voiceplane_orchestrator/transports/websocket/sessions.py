"""The two WebSocket endpoints: from the handshake to the last byte of a session."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition, invalid, unavailable

from voiceplane_orchestrator.sessions.conversation import Conversation
from voiceplane_orchestrator.sessions.reading import Reading, selected
from voiceplane_orchestrator.transports.websocket import protocol
from voiceplane_orchestrator.transports.websocket.connection import Closing, Connection, slow_reader

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from voiceplane_orchestrator.sessions.factory import SessionFactory

HEARTBEAT_S = 5.0
SEND_BUFFER_BYTES = 64 * 1024
CLOSE_GOING_AWAY = 1001

Session = Conversation | Reading


class SessionEndpoints:
    """Serves /v1/talk and /v1/speak.

    Attributes:
        live: Open sessions by id.
    """

    def __init__(self, factory: SessionFactory) -> None:
        self._factory = factory
        self._limits = factory.settings.limits
        self.live: dict[str, str] = {}
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    async def talk(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/talk."""
        return await self._serve(request, microphone=True)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/speak."""
        return await self._serve(request, microphone=False)

    def drain(self) -> None:
        """Take no new session, and end the present ones."""
        self._draining.set()

    async def wait_quiet(self) -> None:
        """Return when no session is open."""
        while self.live:
            self._ended.clear()
            await self._ended.wait()

    async def _serve(self, request: web.Request, *, microphone: bool) -> web.StreamResponse:
        if self._draining.is_set():
            raise _shutting_down()
        if len(self.live) >= self._limits.max_sessions:
            text = f"{self._limits.max_sessions} sessions are open already (limits.max_sessions): try again later"
            raise exhausted("TOO_MANY_SESSIONS", text, retry_after_ms=1000)
        session_id, kind = uuid.uuid4().hex, "talk" if microphone else "speak"
        metrics = self._factory.metrics
        self.live[session_id] = kind
        metrics.sessions.labels(kind).inc()
        try:
            socket = web.WebSocketResponse(
                protocols=(protocol.SUBPROTOCOL,),
                heartbeat=HEARTBEAT_S,
                max_msg_size=protocol.MAX_MESSAGE_BYTES,
                timeout=1.0,
                writer_limit=SEND_BUFFER_BYTES,
                compress=False,
            )
            await socket.prepare(request)
            connection = Connection(socket, write_timeout_s=self._limits.write_timeout_ms / 1000, metrics=metrics)
            try:
                await self._converse(connection, session_id=session_id, microphone=microphone)
            except Closing as closing:
                await connection.end(closing)
            except ConnectionError:
                if connection.slow.is_set():
                    await connection.end(slow_reader())
            if connection.slow.is_set() and request.transport is not None:
                request.transport.abort()  # what waits to be sent never will be
            return socket
        finally:
            del self.live[session_id]
            self._ended.set()
            metrics.sessions.labels(kind).dec()

    async def _converse(self, connection: Connection, *, session_id: str, microphone: bool) -> None:
        hello = await connection.hello()
        if hello is None:
            return
        try:
            rate_hz = protocol.check_hello(hello, microphone=microphone)
            selection = self._factory.selection(hello.client_id or "", **_choices(hello))
        except VoiceplaneError as error:
            raise Closing(error, protocol.CLOSE_PROTOCOL) from None
        client_id = hello.client_id or uuid.uuid4().hex
        self._factory.remember(client_id, selection)
        ready = self._factory.ready(session_id=session_id, client_id=client_id, selection=selection)
        await connection.send_text(ready)
        session: Session
        if microphone:
            session = self._factory.conversation(
                session_id=session_id, listener=connection, selection=selection, sample_rate_hz=rate_hz
            )
        else:
            session = self._factory.reading(session_id=session_id, listener=connection, selection=selection)
        tasks = [
            asyncio.create_task(session.run(), name="session-run"),
            asyncio.create_task(self._receive(connection, session, client_id), name="session-receive"),
            asyncio.create_task(connection.slow.wait(), name="session-slow"),
            asyncio.create_task(self._draining.wait(), name="session-drain"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()
        if connection.slow.is_set():
            raise slow_reader()
        if tasks[3] in done:
            raise Closing(_shutting_down(), CLOSE_GOING_AWAY)
        for task in done:
            task.result()

    async def _receive(self, connection: Connection, session: Session, client_id: str) -> None:
        timeout_s = self._limits.idle_timeout_ms / 1000
        while (message := await connection.receive(timeout_s=timeout_s)) is not None:
            try:
                await self._take(message, connection, session, client_id)
            except VoiceplaneError as error:
                await connection.complain(error)

    async def _take(self, message: WSMessage, connection: Connection, session: Session, client_id: str) -> None:
        if message.type is WSMsgType.BINARY:
            if not isinstance(session, Conversation):
                raise invalid("", "/v1/speak takes no audio: use /v1/talk", reason="INVALID_MESSAGE")
            session.push_audio(message.data)
            return
        control = protocol.decode(message.data)
        match control:
            case protocol.Playout():
                session.playout(utterance=control.utterance, media_time_samples=control.media_time_samples)
            case protocol.Select():
                selection = self._factory.selection(client_id, **_choices(control))
                self._factory.remember(client_id, selection)
                session.select(selection)
                await connection.send_event(selected(selection))
            case protocol.Hello():
                raise failed_precondition("HELLO_TWICE", "hello comes once: use select to change the voice")
            case _ if isinstance(session, Conversation):
                _talk(session, control)
            case _:
                await _speak(session, control)


def _talk(session: Conversation, control: protocol.Message) -> None:
    match control:
        case protocol.Say():
            session.say(control.text)
        case protocol.Interrupt():
            session.interrupt()
        case _:
            raise invalid("type", f"{control.type} belongs to /v1/speak", reason="INVALID_MESSAGE")


async def _speak(session: Reading, control: protocol.Message) -> None:
    match control:
        case protocol.Text():
            await session.text(control.text, end=control.end)
        case protocol.Interrupt():
            await session.interrupt()
        case protocol.PauseSpeech():
            await session.pause()
        case protocol.ResumeSpeech():
            await session.resume()
        case _:
            raise invalid("type", f"{control.type} belongs to /v1/talk", reason="INVALID_MESSAGE")


def _choices(message: protocol.Choices) -> dict[str, object]:
    return {name: getattr(message, name) for name in protocol.Choices.model_fields}


def _shutting_down() -> VoiceplaneError:
    return unavailable("SHUTTING_DOWN", "the server shuts down: connect again", retry_after_ms=1000)
