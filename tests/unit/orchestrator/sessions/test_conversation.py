"""What a conversation does with what it hears: turns, interruptions, history and failures."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.clock import SystemClock
from voiceplane_common.errors import unavailable
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.sessions.conversation import Conversation
from voiceplane_orchestrator.sessions.events import Done, ErrorEvent, Pause, Resume, State, Stop, Transcript
from voiceplane_orchestrator.sessions.retention import Retention
from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame
from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted

from tests.support.session_fakes import (
    FRAME_SAMPLES,
    FakeAudioInput,
    FakeOutputTransport,
    FakeRecognizer,
    FakeReplier,
    FakeTts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MS = 16
QUICK = EndpointingSection(min_silence_ms=100, finished_silence_ms=100, unfinished_silence_ms=100)


class Talk:
    """A conversation whose user speaks by events; the clock is real, the silences that it waits for are short."""

    def __init__(self) -> None:
        self.tts, self.transport, self.audio_input = FakeTts(), FakeOutputTransport(), FakeAudioInput()
        self.recognizer, self.replier = FakeRecognizer("How are you?"), FakeReplier()
        self.conversation = Conversation(
            session_id="s",
            output=self.transport,
            audio_input=self.audio_input,  # type: ignore[arg-type]  # the two methods that are called
            recognizer=self.recognizer,
            replier=self.replier,
            tts=self.tts,
            selection=VoiceSelection(),
            interruptions=InterruptionsSection(resume_after_silence_ms=50),
            endpointing=QUICK,
            max_text_chars=1000,
            metrics=Metrics(),
            retention=Retention(None),
            clock=SystemClock(),
        )
        self._now_ms = 0

    def user_speaks(self, ms: int) -> None:
        start, end = self._now_ms, self._now_ms + ms
        self._now_ms = end + 200
        self.audio_input.events = [
            SpeechStarted(onset_sample=start * MS, through_sample=(start + 32) * MS),
            SpeechContinues(voiced_ms=ms, through_sample=end * MS),
            SpeechEnded(end_sample=end * MS, through_sample=self._now_ms * MS),
        ]
        self.conversation.push_audio(b"")

    def hear(self, utterance: int, words: int) -> None:
        self.conversation.playout(utterance=utterance, media_time_samples=words * FRAME_SAMPLES)

    async def until(self, kind: type, **fields: object) -> Any:
        return await self.transport.until(kind, **fields)

    async def hear_out(self, utterance: int) -> None:
        done = await self.until(Done, utterance=utterance)
        self.conversation.playout(utterance=utterance, media_time_samples=done.samples)
        await self.until(Transcript, role="agent", utterance=utterance)


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[Talk]:
    talk = Talk()
    running = asyncio.create_task(talk.conversation.run())
    try:
        async with asyncio.timeout(8):
            yield talk
        assert not running.done(), "the session goes on"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await talk.conversation.close()


async def test_a_turn_is_answered_and_the_history_has_both() -> None:
    async with talking() as talk:
        talk.user_speaks(500)
        await talk.hear_out(1)
        talk.user_speaks(500)
        await talk.until(Done, utterance=2)
        assert talk.replier.asked == [
            [("user", "How are you?")],
            [("user", "How are you?"), ("assistant", "Fine, thanks."), ("user", "How are you?")],
        ]


async def test_what_is_being_recognized_when_the_turn_ends_is_not_recognized_again() -> None:
    async with talking() as talk:
        talk.recognizer.gate.clear()
        talk.user_speaks(400)
        await talk.until(State, state="thinking")  # the turn has ended
        talk.recognizer.gate.set()
        await talk.hear_out(1)
        assert talk.recognizer.partials == [False]


async def test_a_turn_whose_recognition_fails_is_reported_and_the_next_one_is_answered() -> None:
    async with talking() as talk:
        talk.recognizer.gate.clear()
        talk.user_speaks(400)
        await talk.until(State, state="thinking")
        talk.recognizer.error = unavailable("ASR_FAILED", "no memory")
        talk.recognizer.gate.set()
        await talk.until(ErrorEvent, reason="ASR_FAILED")
        talk.recognizer.error = None
        talk.user_speaks(400)
        await talk.hear_out(1)


async def test_the_history_holds_what_was_heard_of_a_reply_and_not_what_was_written() -> None:
    async with talking() as talk:
        talk.replier.text = "one two three four five"
        talk.tts.gate.clear()
        talk.user_speaks(500)
        await talk.until(SpeechFrame)
        talk.hear(1, 1)
        talk.user_speaks(900)
        await talk.until(Stop)
        talk.tts.gate.set()
        await talk.until(Done, utterance=2)
        assert talk.replier.asked[-1][:2] == [("user", "How are you?"), ("assistant", "one")]


async def test_a_cough_pauses_and_resumes_without_a_turn() -> None:
    async with talking() as talk:
        talk.tts.gate.clear()
        talk.conversation.say("one two three")
        await talk.until(SpeechFrame)
        talk.user_speaks(64)
        await talk.until(Pause)
        await talk.until(Resume)
        talk.tts.gate.set()
        await talk.hear_out(1)
        assert talk.replier.asked == []
        assert [order for order in talk.tts.log if order in {"pause", "resume"}] == ["pause", "resume"]
        assert [order for order in talk.tts.log if order.startswith("stop")] == ["stop 2"], "the one of say()"


async def test_a_reply_stopped_without_cause_is_respoken_from_the_unheard_sentence() -> None:
    async with talking() as talk:
        talk.recognizer.text = ""
        talk.conversation.say("First sentence. Second sentence. Third one.")
        await talk.until(Done, utterance=1)
        talk.hear(1, 3)  # into the second sentence
        talk.user_speaks(900)  # too long for a backchannel, and without a word
        await talk.until(Stop)
        await talk.until(Done, utterance=2, result="complete")
        assert talk.tts._text == "Second sentence. Third one."


async def test_speech_before_the_first_sound_of_a_reply_takes_the_turn_back() -> None:
    async with talking() as talk:
        waiting = asyncio.Event()
        reply = talk.replier.reply

        async def slow(history: Any, *, language: str) -> AsyncIterator[str]:
            async for text in reply(history, language=language):
                await waiting.wait()
                yield text

        talk.replier.reply = slow  # type: ignore[method-assign]  # a reply that takes its time
        talk.recognizer.text = "I would like"
        talk.user_speaks(500)
        first = await talk.until(Transcript, role="user", text="I would like")
        talk.recognizer.text = "I would like some tea."
        talk.user_speaks(900)
        taken = await talk.until(Transcript, role="user", replaces=first.turn)
        waiting.set()
        await talk.until(Transcript, role="user", turn=taken.turn, final=True)
        await talk.until(Done, result="complete")
        assert talk.replier.asked[-1] == [("user", "I would like some tea.")]


@pytest.mark.parametrize(
    ("error", "reason"), [(unavailable("LLM_TIMEOUT", "too slow"), "LLM_TIMEOUT"), (KeyError("x"), "INTERNAL")]
)
async def test_a_reply_that_fails_is_reported_and_the_next_turn_is_answered(error: Exception, reason: str) -> None:
    async with talking() as talk:
        talk.replier.error = error
        talk.tts.gate.set()
        talk.user_speaks(500)
        assert not (await talk.until(ErrorEvent, reason=reason)).fatal
        talk.replier.error = None
        talk.user_speaks(500)
        await talk.until(Done, result="complete")


@pytest.mark.parametrize("error", [unavailable("ASR_FAILED", "no"), RuntimeError("x")])
async def test_a_recognition_that_fails_is_reported_and_the_next_turn_is_answered(error: Exception) -> None:
    async with talking() as talk:
        talk.recognizer.error = error
        talk.user_speaks(500)
        assert not (await talk.until(ErrorEvent)).fatal
        talk.recognizer.error = None
        talk.user_speaks(500)
        await talk.until(Done, result="complete")


async def test_no_worker_is_a_state_until_there_is_one_again() -> None:
    async with talking() as talk:
        talk.conversation.set_outage(State(state="no_worker", reason="none", retry_after_ms=1000))
        await talk.until(State, state="no_worker")
        talk.transport.got.clear()
        talk.conversation.set_outage(None)
        await talk.until(State, state="listening")


async def test_it_is_quiet_only_when_nothing_is_said_or_answered() -> None:
    async with talking() as talk:
        await asyncio.wait_for(talk.conversation.wait_idle(), 1)
        talk.tts.gate.clear()
        talk.conversation.say("one two")
        await talk.until(SpeechFrame)
        quiet = asyncio.create_task(talk.conversation.wait_idle())
        await talk.until(State, state="speaking")
        assert not quiet.done()
        talk.tts.gate.set()
        await talk.hear_out(1)
        await quiet
