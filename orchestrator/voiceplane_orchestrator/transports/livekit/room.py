"""One room: the agent and the first user in it, from the agent's entry until it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from livekit import rtc
from pydantic import ValidationError
from voiceplane_common.errors import VoiceplaneError, invalid
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_common.logs import get_logger
from voiceplane_common.tasks import first_to_end, until_first
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ

from voiceplane_orchestrator.sessions.events import State, Transcript, error_event
from voiceplane_orchestrator.sessions.voice_selection import selected_event
from voiceplane_orchestrator.transports import messages
from voiceplane_orchestrator.transports.livekit.audio_output import QUEUE_MS, RoomAudioOutput
from voiceplane_orchestrator.transports.livekit.tokens import ATTRIBUTE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from voiceplane_orchestrator.sessions.conversation import Conversation
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection

TOPIC = "voiceplane"
TRANSCRIPTION_TOPIC = "lk.transcription"
STATE_ATTRIBUTE = "lk.agent.state"
AGENT_STATES = {"listening": "listening", "thinking": "thinking", "speaking": "speaking", "paused": "listening"}
# LiveKit resamples without delay; our own decoder would delay every barge-in by 11 ms on average.
MICROPHONE_RATE_HZ = USER_SAMPLE_RATE_HZ
MICROPHONE_FRAME_MS = 10
# A client that misses a few of these heartbeats requests another agent.
HEARTBEAT_INTERVAL_S = 0.4
# LiveKit drops a dispatch for which no agent is registered; the next agent may register only after this one drains.
DISPATCH_RETRY_S = 3.0
CONNECT_TIMEOUT_S = 10.0
USER_KINDS = frozenset({rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD, rtc.ParticipantKind.PARTICIPANT_KIND_SIP})

_log = get_logger("livekit")


class RoomSession:
    """A conversation in a room. serve() does everything."""

    def __init__(
        self,
        *,
        factory: SessionFactory,
        session_id: str,
        agent_name: str,
        leave_after_s: float,
        handing_over: asyncio.Event,
        dispatch_agent: Callable[[str], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            factory: Creates the conversation.
            session_id: For logs.
            agent_name: The name of this agent, and of the agents that may replace it.
            leave_after_s: How long to wait for a user to join, or to come back.
            handing_over: Set when the conversation is to be handed over to another agent, as soon as it is idle.
            dispatch_agent: Has LiveKit dispatch another agent to a room.
        """
        self._factory = factory
        self._session_id = session_id
        self._agent_name = agent_name
        self._leave_after_s = leave_after_s
        self._handing_over = handing_over
        self._dispatch_agent = dispatch_agent
        self._room = rtc.Room()
        self._user = ""
        self._present = asyncio.Event()
        self._absent = asyncio.Event()
        self._ended = asyncio.Event()
        self._end_reason = "the user has left"
        self._conversation: Conversation | None = None
        self._microphone_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, url: str, token: str) -> None:
        """Enter the room, run the conversation, and leave when it ends."""
        self._follow_room()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
            for participant in self._room.remote_participants.values():
                self._participant_connected(participant)
            await self._converse()
        finally:
            tasks = [*self._tasks, *([self._microphone_task] if self._microphone_task else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._room.disconnect()

    async def _converse(self) -> None:
        source = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        try:
            track = rtc.LocalAudioTrack.create_audio_track("voice", source)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self._room.local_participant.publish_track(track, options)
            if not await self._within(self._leave_after_s, self._present):
                _log.info("room_left", session_id=self._session_id, reason="no user joined")
                return
            voice = RoomAudioOutput(source=source, send_event=self._send_event, played=self._played)
            selection = await self._selection(self._room.remote_participants[self._user].attributes)
            conversation = self._conversation = self._factory.conversation(
                session_id=self._session_id, output=voice, selection=selection, sample_rate_hz=MICROPHONE_RATE_HZ
            )
            try:
                await self._send_ready(selection)
                reason = await self._run_until_ended(conversation, voice)
                _log.info("room_left", session_id=self._session_id, reason=reason)
            finally:
                self._conversation = None
                await conversation.close()
        finally:
            await source.aclose()

    async def _send_ready(self, selection: VoiceSelection) -> None:
        await self._send(self._factory.ready(session_id=self._session_id, client_id=self._user, selection=selection))

    async def _run_until_ended(self, conversation: Conversation, voice: RoomAudioOutput) -> str:
        """Run the conversation; returns why it ended."""
        await first_to_end(
            conversation.run(),
            voice.run(),
            self._send_heartbeats(),
            self._wait_user_left(),
            self._hand_over(conversation),
            self._ended.wait(),
        )
        return self._end_reason

    async def _within(self, seconds: float, event: asyncio.Event) -> bool:
        waiting = [asyncio.create_task(event.wait()), asyncio.create_task(self._ended.wait())]
        await until_first(waiting, timeout_s=seconds)
        return event.is_set() and not self._ended.is_set()

    async def _wait_user_left(self) -> None:
        """Return when the user has been away for too long."""
        while True:
            await self._absent.wait()
            if not await self._within(self._leave_after_s, self._present):
                return

    async def _hand_over(self, conversation: Conversation) -> None:
        """Drain: finish the current utterance, then request another agent until one joins; that ends the session."""
        await self._handing_over.wait()
        await conversation.wait_idle()
        while True:
            try:
                await self._dispatch_agent(self._room.name)
            except Exception as error:  # LiveKit may be unreachable for a moment
                _log.warning("hand_over_failed", session_id=self._session_id, error=repr(error))
            await asyncio.sleep(DISPATCH_RETRY_S)

    async def _send_heartbeats(self) -> None:
        while True:
            await self._room.local_participant.publish_data(
                json.dumps({"type": "alive", "at_ms": round(time.time() * 1000)}), reliable=False, topic=TOPIC
            )
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    # ---------------------------------------------------------------- participants

    def _follow_room(self) -> None:
        room = self._room
        room.on("participant_connected", self._participant_connected)
        room.on("participant_disconnected", self._participant_disconnected)
        room.on("participant_attributes_changed", self._attributes_changed)
        room.on("track_published", self._subscribe)
        room.on("track_subscribed", self._track_subscribed)
        room.on("data_received", self._data_received)
        room.on("disconnected", self._disconnected)

    def _participant_connected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind in USER_KINDS:
            if self._user in {"", participant.identity}:
                self._user = participant.identity
                came_back = self._absent.is_set()
                self._absent.clear()
                self._present.set()
                if came_back and self._conversation:
                    self._run(self._send_ready(self._conversation.selection))
            for publication in participant.track_publications.values():
                self._subscribe(publication, participant)
        elif self._conversation and participant.attributes.get("lk.agent.name") == self._agent_name:
            self._end("another agent has joined")

    def _participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._user:
            self._present.clear()
            self._absent.set()

    def _disconnected(self, reason: object) -> None:
        self._end(f"disconnected: {reason}")

    def _end(self, reason: str) -> None:
        if not self._ended.is_set():
            self._end_reason = reason
            self._ended.set()

    def _attributes_changed(self, changed: Mapping[str, str], participant: rtc.Participant) -> None:
        if participant.identity == self._user and any(name.startswith(ATTRIBUTE_PREFIX) for name in changed):
            self._run(self._reselect(participant.attributes))

    # ---------------------------------------------------------------- the user's audio and commands

    def _subscribe(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._user and publication.kind == rtc.TrackKind.KIND_AUDIO:
            publication.set_subscribed(True)

    def _track_subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if participant.identity != self._user or track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        if self._microphone_task:
            self._microphone_task.cancel()
        self._microphone_task = asyncio.create_task(self._read_microphone(track), name="room-hear")

    async def _read_microphone(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(
            track, sample_rate=MICROPHONE_RATE_HZ, num_channels=1, frame_size_ms=MICROPHONE_FRAME_MS
        )
        try:
            async for event in stream:
                if self._conversation:
                    self._conversation.push_audio(bytes(event.frame.data))
        finally:
            await stream.aclose()

    def _data_received(self, packet: rtc.DataPacket) -> None:
        if packet.topic == TOPIC and packet.participant and packet.participant.identity == self._user:
            self._run(self._handle_command(packet.data))

    async def _handle_command(self, data: bytes) -> None:
        """Handle a command of the user: the WebSocket's commands that apply to a room."""
        try:
            message = messages.decode(data.decode(errors="replace"))
            if self._conversation is None:
                return
            match message:
                case messages.Say():
                    self._conversation.say(message.text)
                case messages.Interrupt():
                    self._conversation.interrupt()
                case messages.Select():
                    await self._select(message.chosen())
                case _:
                    raise invalid(
                        "type",
                        f"{message.type} is not supported in a room: use say, interrupt or select",
                        reason="INVALID_MESSAGE",
                    )
        except VoiceplaneError as error:
            await self._send_event(error_event(error))

    # ---------------------------------------------------------------- voice selection

    async def _selection(self, attributes: Mapping[str, str]) -> VoiceSelection:
        """The user's voice by attributes and earlier choices; the default one if it is not available."""
        try:
            selection = await self._factory.selection(self._user, **choices_of(attributes))
        except VoiceplaneError as error:
            await self._send_event(error_event(error))
            selection = await self._factory.selection("")
        self._factory.remember(self._user, selection)
        return selection

    async def _reselect(self, attributes: Mapping[str, str]) -> None:
        try:
            await self._select(choices_of(attributes))
        except VoiceplaneError as error:
            await self._send_event(error_event(error))

    async def _select(self, choices: Mapping[str, object]) -> None:
        if self._conversation is None:
            return
        selection = await self._factory.selection(self._user, **choices)
        self._factory.remember(self._user, selection)
        self._conversation.select(selection)
        await self._send_event(selected_event(selection))

    # ---------------------------------------------------------------- events to the user

    def _played(self, utterance: int, samples: int) -> None:
        if self._conversation:
            self._conversation.playout(utterance=utterance, media_time_samples=samples)

    async def _send_event(self, event: SessionEvent) -> None:
        await self._send(messages.encode_event(event))
        match event:
            case State():
                state = AGENT_STATES.get(event.state, "idle")
                self._run(self._room.local_participant.set_attributes({STATE_ATTRIBUTE: state}))
            case Transcript() if event.final:
                self._run(self._transcribe(event))

    async def _transcribe(self, event: Transcript) -> None:
        """Send a transcript as LiveKit's own clients show it."""
        segment = f"{event.role}-{event.turn or event.utterance}"
        await self._room.local_participant.send_text(
            event.text,
            topic=TRANSCRIPTION_TOPIC,
            attributes={
                "lk.segment_id": segment,
                "lk.transcription_final": "true",
                "voiceplane.role": event.role,
                "voiceplane.interrupted": str(event.interrupted).lower(),
            },
        )

    async def _send(self, message: str) -> None:
        try:
            await self._room.local_participant.publish_data(message, reliable=True, topic=TOPIC)
        except Exception as error:  # the SDK raises errors of its own for a lost connection
            raise ConnectionResetError(f"the connection to the room is lost: {error}") from error

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_log_errors(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def choices_of(attributes: Mapping[str, str]) -> dict[str, object]:
    """The voice that participant attributes select.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, naming the attribute.
    """
    known = {ATTRIBUTE_PREFIX + name: name for name in messages.VoiceChoice.model_fields}
    chosen: dict[str, object] = {known[name]: value for name, value in attributes.items() if name in known}
    if speed := attributes.get(f"{ATTRIBUTE_PREFIX}speed"):
        with contextlib.suppress(ValueError):  # an invalid number is refused below, with the attribute's name
            chosen["speed"] = float(speed)
    try:
        choices = messages.VoiceChoice.model_validate(chosen)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = f"{ATTRIBUTE_PREFIX}{problem['loc'][0]}"
        raise invalid(name, f"attribute {name}: {problem['msg']}") from None
    return choices.model_dump(exclude_none=True)


async def _log_errors(work: Coroutine[Any, Any, None]) -> None:
    """Run work in the background, and log its errors; a lost connection ends the session elsewhere."""
    try:
        await work
    except ConnectionError:
        return
    except Exception as error:
        _log.warning("room_call_failed", error=repr(error))
