"""Conversations over WebSocket with a real worker of the mock family; only the words are scripted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.orchestrators import Client, Frame, ScriptedRecognizer, client, orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG = "This is a long reply that is going to be interrupted somewhere, so that it has to be long enough for that."
FRAME_MS = 20
SILENCE_MS = 400
VOICE = np.full(16 * FRAME_MS, 8000, "<i2").tobytes()
SILENCE = bytes(2 * 16 * FRAME_MS)


class Microphone:
    """Sends voice and the silence after it at once: faster than real time is allowed."""

    def __init__(self, speaking_client: Client) -> None:
        self._client = speaking_client

    async def speak(self, ms: int) -> None:
        for _ in range(ms // FRAME_MS):
            await self._client.socket.send(VOICE)
        for _ in range(SILENCE_MS // FRAME_MS):
            await self._client.socket.send(SILENCE)


@contextlib.asynccontextmanager
async def talking(text: str = "") -> AsyncIterator[tuple[Client, Microphone, ScriptedRecognizer]]:
    recognizer = ScriptedRecognizer(text)
    async with (
        orchestrator(recognizer=recognizer) as running,
        client(running, "/v1/talk", sample_rate_hz=16_000) as user,
        asyncio.timeout(12),
    ):
        yield user, Microphone(user), recognizer
    assert running.live_sessions == 0


async def hear_out(user: Client, utterance: int) -> None:
    """Play an utterance to its end."""
    done = await user.until("done", utterance=utterance)
    await user.play_to(utterance, done["samples"])


def is_gapless(frames: list[Frame]) -> bool:
    return [frame.media_time_samples for frame in frames] == [960 * number for number in range(len(frames))]


async def test_what_is_said_is_heard_and_answered() -> None:
    async with talking("Hello there.") as (user, microphone, recognizer):
        await microphone.speak(600)
        transcript = await user.until("transcript", role="user", final=True)
        assert transcript["text"] == "Hello there."
        assert recognizer.longest_ms >= 600
        await hear_out(user, 1)
        heard = await user.until("transcript", role="agent")
        assert (heard["text"], heard["interrupted"]) == ("Hello there.", False)
        assert is_gapless(user.frames(1))
        await user.until("state", state="listening")
        measured: dict[str, float] = {}
        for item in user.seen:
            if isinstance(item, dict) and item["type"] == "latency":
                measured |= {name: value for name, value in item.items() if value is not None}
        assert {"endpointing_ms", "asr_ms", "reply_first_token_ms", "first_audio_ms"} <= measured.keys()


async def test_a_cough_pauses_and_resumes_without_losing_or_repeating_a_sample() -> None:
    async with talking() as (user, microphone, _):
        await user.send("say", text=LONG)
        for _ in range(20):
            await user.frame()
        await microphone.speak(100)
        pause = await user.until("pause")
        resume = await user.until("resume")
        assert pause["epoch"] == resume["epoch"]
        await hear_out(user, 1)
        assert (await user.until("transcript", role="agent"))["text"] == LONG
        assert is_gapless(user.frames(1))


async def test_words_stop_the_agent_and_the_next_turn_is_answered_in_a_newer_epoch() -> None:
    async with talking("Stop, please.") as (user, microphone, recognizer):
        await user.send("say", text=LONG)
        for _ in range(20):
            first = await user.frame()
        await user.play_to(1, 9600)
        await microphone.speak(900)
        await user.until("pause")
        stop = await user.until("stop")
        assert stop["epoch"] > first.epoch
        stopped_at = len(user.seen)
        cut = await user.until("transcript", role="agent")
        assert cut["interrupted"]
        assert cut["unheard"]
        assert cut["text"] + cut["unheard"] == LONG
        assert (await user.until("transcript", role="user", final=True))["text"] == "Stop, please."
        assert recognizer.longest_ms >= 900, "the onset must be recognized, too"
        await hear_out(user, 2)
        later = [item.epoch for item in user.seen[stopped_at:] if isinstance(item, Frame)]
        assert min(later) >= stop["epoch"]


async def test_a_selection_is_kept_for_the_clients_next_session() -> None:
    async with orchestrator() as running:
        async with client(running, "/v1/speak", client_id="me") as first:
            await first.send("select", voice="high")
            assert (await first.until("selected"))["voice"] == "high"
        async with client(running, "/v1/speak", client_id="me") as second:
            ready = second.seen[0]
            assert isinstance(ready, dict)
            assert ready["voice"] == "high"
            await second.send("text", text="Hi.", end=True)
            assert (await second.until("utterance"))["voice"] == "high"


@pytest.mark.parametrize("model", ["unknown"])
async def test_an_unknown_model_is_refused_and_the_session_goes_on(model: str) -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("select", model=model)
        assert (await speaking.until("error"))["reason"] == "UNKNOWN_MODEL"
        await speaking.send("text", text="Hi.", end=True)
        assert (await speaking.until("done"))["result"] == "complete"
