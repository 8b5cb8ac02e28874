"""Utterances on their way to the listener: order, epochs, and what was heard."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from voiceplane_common.errors import unavailable
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.sessions.events import Done, ErrorEvent, Reply, Stop, Transcript, UtteranceStarted
from voiceplane_orchestrator.sessions.retention import Retention
from voiceplane_orchestrator.sessions.speech_output import SpeechOutput
from voiceplane_orchestrator.sessions.text_stream import single_chunk
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

from tests.support.clock import VirtualClock, settle
from tests.support.session_fakes import FRAME_SAMPLES, FakeOutputTransport, FakeTts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_orchestrator.sessions.utterance import AgentUtterance


class Spoken:
    def __init__(self, *, follow_playout: bool) -> None:
        self.speaker = FakeTts()
        self.listener = FakeOutputTransport()
        self.ended: list[AgentUtterance] = []
        self.mouth = SpeechOutput(
            session_id="s",
            speaker=self.speaker,
            listener=self.listener,
            metrics=Metrics(),
            clock=VirtualClock(),
            retention=Retention(None),
            follow_playout=follow_playout,
            on_started=lambda _: None,
            on_ended=self.ended.append,
        )

    async def say(self, text: str) -> AgentUtterance:
        return await self.mouth.start(single_chunk(text), since_s=0.0)


@contextlib.asynccontextmanager
async def mouth(*, follow_playout: bool = False) -> AsyncIterator[Spoken]:
    spoken = Spoken(follow_playout=follow_playout)
    try:
        async with asyncio.timeout(5):
            yield spoken
    finally:
        await spoken.mouth.close()
    assert spoken.speaker.log[-1] == "close"


async def test_an_utterance_is_announced_spoken_and_done_in_this_order() -> None:
    async with mouth() as spoken:
        await spoken.say("one two")
        await spoken.mouth.wait()
        kinds = [type(item) for item in spoken.listener.got if isinstance(item, (UtteranceStarted, SpeechFrame, Done))]
        assert kinds == [UtteranceStarted, SpeechFrame, SpeechFrame, Done]
        assert spoken.listener.of(Done)[0].samples == 2 * FRAME_SAMPLES


async def test_the_listener_is_told_to_stop_before_the_worker_has_obeyed() -> None:
    async with mouth() as spoken:
        spoken.speaker.gate.clear()
        spoken.speaker.obeys.clear()
        await spoken.say("one two three")
        await spoken.listener.until(SpeechFrame)
        await spoken.mouth.stop()
        assert spoken.listener.of(Stop)[0].epoch == 2
        assert "stop 2" not in spoken.speaker.log
        assert spoken.listener.of(Done)[0].result == "interrupted"


async def test_a_new_utterance_waits_until_the_worker_has_stopped_the_last_one() -> None:
    async with mouth() as spoken:
        spoken.speaker.gate.clear()
        spoken.speaker.obeys.clear()
        await spoken.say("one two three")
        await spoken.listener.until(SpeechFrame)
        await spoken.mouth.stop()
        spoken.speaker.gate.set()
        await spoken.say("four")
        await settle()
        assert "speak 2" not in spoken.speaker.log
        spoken.speaker.obeys.set()
        await spoken.listener.until(Done, utterance=2)
        assert spoken.speaker.log == ["open", "speak 1", "stop 2", "speak 2"]


async def test_a_stop_while_the_worker_still_stops_drops_the_utterance_that_waits() -> None:
    async with mouth() as spoken:
        spoken.speaker.obeys.clear()
        await spoken.mouth.stop()
        await spoken.say("never heard")
        await spoken.mouth.stop()
        spoken.speaker.obeys.set()
        await spoken.say("heard")
        await spoken.listener.until(Done, utterance=2, result="complete")
        assert {frame.utterance_id for frame in spoken.listener.of(SpeechFrame)} == {"2"}


async def test_a_report_of_playout_that_goes_back_or_too_far_is_ignored() -> None:
    async with mouth(follow_playout=True) as spoken:
        utterance = await spoken.say("one two three")
        await spoken.listener.until(Done)
        for reported, heard in ((960, 960), (480, 960), (2881, 960), (2880, 2880)):
            spoken.mouth.heard(utterance=1, media_time_samples=reported)
            assert utterance.heard_samples == heard
        await spoken.mouth.wait()
        assert [item.heard_text for item in spoken.ended] == ["one two three"]


async def test_what_was_heard_of_an_interrupted_utterance_is_told() -> None:
    async with mouth(follow_playout=True) as spoken:
        await spoken.say("one two three")
        await spoken.listener.until(Done)
        spoken.mouth.heard(utterance=1, media_time_samples=FRAME_SAMPLES)
        await spoken.mouth.stop()
        told = spoken.listener.of(Transcript)[0]
        assert (told.text, told.interrupted, told.unheard) == ("one", True, " two three")


async def test_a_failure_is_told_and_the_next_utterance_is_spoken() -> None:
    async with mouth() as spoken:
        for number, (error, reason) in enumerate(
            [(unavailable("NO_WORKER", "none"), "NO_WORKER"), (RuntimeError("a fault of ours"), "INTERNAL")], start=1
        ):
            spoken.speaker.error = error
            await spoken.say("one two")
            failed = await spoken.listener.until(ErrorEvent, reason=reason)
            assert not failed.fatal
            assert "a fault of ours" not in failed.message
            await spoken.mouth.wait()
            assert spoken.ended[-1].result == "failed"
            assert spoken.listener.of(Done)[-1].utterance == number
        spoken.speaker.error = None
        await spoken.say("one two")
        await spoken.listener.until(Done, result="complete")


async def test_the_text_of_a_reply_is_told_as_it_is_written_and_that_of_a_reader_is_not_told_back() -> None:
    async def written() -> AsyncIterator[str]:
        for piece in ("one ", "", "two"):
            yield piece

    for conversing in (True, False):
        async with mouth(follow_playout=conversing) as spoken:
            await spoken.mouth.start(written(), since_s=0.0)
            await spoken.listener.until(Done)
            told = [(item.utterance, item.text) for item in spoken.listener.of(Reply)]
            assert told == ([(1, "one "), (1, "two")] if conversing else [])
