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
        self.tts = FakeTts()
        self.transport = FakeOutputTransport()
        self.ended: list[AgentUtterance] = []
        self.output = SpeechOutput(
            session_id="s",
            tts=self.tts,
            output=self.transport,
            metrics=Metrics(),
            clock=VirtualClock(),
            retention=Retention(None),
            follow_playout=follow_playout,
            on_started=lambda _: None,
            on_ended=self.ended.append,
        )

    async def say(self, text: str) -> AgentUtterance:
        return await self.output.start(single_chunk(text), since_s=0.0)


@contextlib.asynccontextmanager
async def output(*, follow_playout: bool = False) -> AsyncIterator[Spoken]:
    spoken = Spoken(follow_playout=follow_playout)
    try:
        async with asyncio.timeout(5):
            yield spoken
    finally:
        await spoken.output.close()
    assert spoken.tts.log[-1] == "close"


async def test_an_utterance_is_announced_spoken_and_done_in_this_order() -> None:
    async with output() as spoken:
        await spoken.say("one two")
        await spoken.output.wait()
        kinds = [type(item) for item in spoken.transport.got if isinstance(item, (UtteranceStarted, SpeechFrame, Done))]
        assert kinds == [UtteranceStarted, SpeechFrame, SpeechFrame, Done]
        assert spoken.transport.of(Done)[0].samples == 2 * FRAME_SAMPLES


async def test_the_listener_gets_stop_before_the_worker_has_obeyed() -> None:
    async with output() as spoken:
        spoken.tts.gate.clear()
        spoken.tts.obeys.clear()
        await spoken.say("one two three")
        await spoken.transport.until(SpeechFrame)
        await spoken.output.stop()
        assert spoken.transport.of(Stop)[0].epoch == 2
        assert "stop 2" not in spoken.tts.log
        assert spoken.transport.of(Done)[0].result == "interrupted"


async def test_a_new_utterance_waits_until_the_worker_has_stopped_the_last_one() -> None:
    async with output() as spoken:
        spoken.tts.gate.clear()
        spoken.tts.obeys.clear()
        await spoken.say("one two three")
        await spoken.transport.until(SpeechFrame)
        await spoken.output.stop()
        spoken.tts.gate.set()
        await spoken.say("four")
        await settle()
        assert "speak 2" not in spoken.tts.log
        spoken.tts.obeys.set()
        await spoken.transport.until(Done, utterance=2)
        assert spoken.tts.log == ["open", "speak 1", "stop 2", "speak 2"]


async def test_a_stop_while_the_worker_still_stops_drops_the_utterance_that_waits() -> None:
    async with output() as spoken:
        spoken.tts.obeys.clear()
        await spoken.output.stop()
        await spoken.say("never heard")
        await spoken.output.stop()
        spoken.tts.obeys.set()
        await spoken.say("heard")
        await spoken.transport.until(Done, utterance=2, result="complete")
        assert {frame.utterance_id for frame in spoken.transport.of(SpeechFrame)} == {"2"}


async def test_a_report_of_playout_that_goes_back_or_too_far_is_ignored() -> None:
    async with output(follow_playout=True) as spoken:
        utterance = await spoken.say("one two three")
        await spoken.transport.until(Done)
        for reported, heard in ((960, 960), (480, 960), (2881, 960), (2880, 2880)):
            spoken.output.heard(utterance=1, media_time_samples=reported)
            assert utterance.heard_samples == heard
        await spoken.output.wait()
        assert [item.heard_text for item in spoken.ended] == ["one two three"]


async def test_what_was_heard_of_an_interrupted_utterance_is_reported() -> None:
    async with output(follow_playout=True) as spoken:
        await spoken.say("one two three")
        await spoken.transport.until(Done)
        spoken.output.heard(utterance=1, media_time_samples=FRAME_SAMPLES)
        await spoken.output.stop()
        told = spoken.transport.of(Transcript)[0]
        assert (told.text, told.interrupted, told.unheard) == ("one", True, " two three")


async def test_a_failure_is_reported_and_the_next_utterance_is_spoken() -> None:
    async with output() as spoken:
        for number, (error, reason) in enumerate(
            [(unavailable("NO_WORKER", "none"), "NO_WORKER"), (RuntimeError("a fault of ours"), "INTERNAL")], start=1
        ):
            spoken.tts.error = error
            await spoken.say("one two")
            failed = await spoken.transport.until(ErrorEvent, reason=reason)
            assert not failed.fatal
            assert "a fault of ours" not in failed.message
            await spoken.output.wait()
            assert spoken.ended[-1].result == "failed"
            assert spoken.transport.of(Done)[-1].utterance == number
        spoken.tts.error = None
        await spoken.say("one two")
        await spoken.transport.until(Done, result="complete")


async def test_the_text_of_a_reply_is_reported_as_it_is_written_and_that_of_a_reader_is_not_sent_back() -> None:
    async def written() -> AsyncIterator[str]:
        for piece in ("one ", "", "two"):
            yield piece

    for conversing in (True, False):
        async with output(follow_playout=conversing) as spoken:
            await spoken.output.start(written(), since_s=0.0)
            await spoken.transport.until(Done)
            told = [(item.utterance, item.text) for item in spoken.transport.of(Reply)]
            assert told == ([(1, "one "), (1, "two")] if conversing else [])
