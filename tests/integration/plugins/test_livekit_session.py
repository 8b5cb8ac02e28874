"""An AgentSession of livekit-agents with the plugin's STT, VAD and TTS, in a room of a real LiveKit server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from livekit import api, rtc
from livekit.agents import Agent, AgentSession, UserInputTranscribedEvent
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.room_io import AudioOutputOptions, RoomOptions
from livekit.plugins import voiceplane
from voiceplane_worker.app import Worker

from bench.peer_agent import Echo
from tests.support.livekit import KEY, SECRET, LiveKitServer, Person, livekit_server
from tests.support.speech import SENTENCES, synthesize_pcm, word_error_rate
from tests.support.workers import mock_worker_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

ROOM = "kitchen"
INTERRUPTION_S = 3.5
# Recognition quality is judged by more than one sentence elsewhere; here, that each turn is heard, and heard whole.
MOST = 0.4
# Stop at the first sound of a voice, also in the first seconds.
AT_ONCE = {
    "turn_detection": "vad",
    "interruption": {"mode": "vad", "min_duration": 0.05, "false_interruption_timeout": None},
}


def token(identity: str) -> str:
    grants = api.VideoGrants(room_join=True, room=ROOM)
    return api.AccessToken(KEY, SECRET).with_identity(identity).with_grants(grants).to_jwt()


@contextlib.asynccontextmanager
async def agent(server: LiveKitServer, worker: Worker) -> AsyncIterator[AgentSession[None]]:
    """A session that says back what it heard."""
    room = rtc.Room()
    await room.connect(server.url, token("agent"))
    session: AgentSession[None] = AgentSession(
        vad=voiceplane.VAD(),
        stt=voiceplane.STT(),
        llm=Echo(),
        tts=voiceplane.TTS(worker=worker.address),
        turn_handling=AT_ONCE,  # type: ignore[arg-type]  # its type is a TypedDict
        aec_warmup_duration=None,
    )
    output = AudioOutputOptions(sample_rate=48_000)
    with fake_job_context(room=room) as job:
        await session.start(Agent(instructions=""), room=room, room_options=RoomOptions(audio_output=output))
    try:
        yield session
    finally:
        await session.aclose()
        await room.disconnect()
        await job._on_cleanup()  # its folder; the framework's own job does this at its end


async def test_a_user_is_heard_answered_and_may_interrupt() -> None:
    async with (
        livekit_server() as server,
        Worker(mock_worker_settings()) as worker,
        agent(server, worker) as session,
        Person.enter({"url": server.url, "token": token("anna")}) as anna,
    ):
        heard: list[str] = []

        @session.on("user_input_transcribed")
        def note(event: UserInputTranscribedEvent) -> None:
            if event.is_final:
                heard.append(event.transcript)

        await anna.until_agents(1)
        await anna.say(np.frombuffer(synthesize_pcm(SENTENCES[9]), np.int16))
        await anna.until_loud(for_ticks=100, timeout_s=30)  # a second of an answer of some
        assert word_error_rate([SENTENCES[9]], [" ".join(heard)]) <= MOST, heard
        heard.clear()
        interrupted_s = await anna.say(np.frombuffer(synthesize_pcm(SENTENCES[5]), np.int16))
        await anna.until_silent(after_s=interrupted_s, for_ticks=20)
        await anna.until_loud(after_s=interrupted_s + INTERRUPTION_S, timeout_s=30)
        assert word_error_rate([SENTENCES[5]], [" ".join(heard)]) <= MOST, heard
        speech = [item for item in session.history.items if item.type == "message" and item.role == "assistant"]
        assert speech[0].interrupted
