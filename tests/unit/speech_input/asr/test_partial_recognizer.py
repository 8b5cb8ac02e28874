"""Partial transcripts: single flight, the newest only; at a pause, all of the turn at once and as exactly as a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_common.errors import unavailable
from voiceplane_speech_input.asr.partial_recognizer import PartialRecognizer
from voiceplane_speech_input.asr.recognizer import RecognitionResult
from voiceplane_speech_input.turns.actions import EndTurn, RequestPartial

from tests.support import virtual_time

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples


class ControlledRecognizer:
    """Each transcription waits until the test ends it."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[tuple[int, asyncio.Future[str]]] = asyncio.Queue()
        self.exact: list[int] = []

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        if not partial:
            self.exact.append(samples.size)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.begun.put_nowait((samples.size, future))
        return RecognitionResult(
            text=await future, language=language or "", avg_logprob=0.0, no_speech_probability=0.0, duration_ms=0
        )


class Session:
    def __init__(self) -> None:
        self.recognizer = ControlledRecognizer()
        self.heard: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.partials = PartialRecognizer(
            recognizer=self.recognizer,
            on_transcript=lambda request, transcript: self.heard.put_nowait((request.end_sample, transcript.text)),
        )

    def ask(self, end_sample: int, *, complete: bool = False) -> None:
        request = RequestPartial(turn_id=1, onset_sample=0, end_sample=end_sample, complete=complete)
        self.partials.ask(request, np.zeros(end_sample, np.float32), language="en")


async def test_of_those_that_wait_only_the_newest_is_recognized() -> None:
    session = Session()
    session.ask(100)
    size, first = await session.recognizer.begun.get()
    for end_sample in (200, 300, 400):
        session.ask(end_sample)
    assert (size, session.recognizer.begun.qsize()) == (100, 0)
    first.set_result("one")
    assert await session.heard.get() == (100, "one")
    size, second = await session.recognizer.begun.get()
    assert size == 400
    second.set_result("four")
    assert await session.heard.get() == (400, "four")
    assert session.recognizer.begun.empty()
    await session.partials.cancel()


async def test_a_failed_one_does_not_stop_the_next() -> None:
    session = Session()
    session.ask(100)
    _, first = await session.recognizer.begun.get()
    session.ask(200)
    first.set_exception(unavailable("ASR_OVERLOADED", "busy"))
    _, second = await session.recognizer.begun.get()
    second.set_result("two")
    assert await session.heard.get() == (200, "two")
    await session.partials.cancel()


async def test_after_cancel_nothing_is_heard_until_the_next_request() -> None:
    session = Session()
    session.ask(100)
    _, first = await session.recognizer.begun.get()
    session.ask(200)
    await session.partials.cancel()
    assert first.cancelled()
    assert session.recognizer.begun.empty()
    session.ask(300)
    size, third = await session.recognizer.begun.get()
    assert size == 300
    third.set_result("three")
    assert await session.heard.get() == (300, "three")
    assert session.heard.empty()
    await session.partials.cancel()


async def test_at_a_pause_all_is_recognized_at_once_and_exactly() -> None:
    session = Session()
    session.ask(100)
    _, partial = await session.recognizer.begun.get()
    session.ask(200)
    session.ask(300, complete=True)
    size, complete = await session.recognizer.begun.get()
    assert (size, session.recognizer.exact) == (300, [300])
    complete.set_result("all")
    assert await session.heard.get() == (300, "all")
    partial.set_result("a")
    session.ask(400)
    _, later = await session.recognizer.begun.get()
    later.set_result("more")
    assert await session.heard.get() == (400, "more")  # what had heard less is not told
    await session.partials.cancel()


async def test_a_turn_s_end_takes_what_is_under_way_for_just_that_turn() -> None:
    session = Session()
    session.ask(100)
    _, partial = await session.recognizer.begun.get()
    session.ask(300, complete=True)
    _, complete = await session.recognizer.begun.get()
    under_way = await session.partials.end(EndTurn(turn_id=1, onset_sample=0, end_sample=300))
    assert under_way is not None
    assert partial.cancelled()
    complete.set_result("all")
    assert (await under_way).text == "all"
    assert session.heard.empty()


async def test_a_turn_s_end_ends_what_has_heard_less_than_the_turn() -> None:
    session = Session()
    session.ask(300, complete=True)
    _, complete = await session.recognizer.begun.get()
    assert await session.partials.end(EndTurn(turn_id=1, onset_sample=0, end_sample=400)) is None
    assert complete.cancelled()


async def test_a_pause_whose_recognition_fails_is_forgotten() -> None:
    session = Session()
    session.ask(300, complete=True)
    _, complete = await session.recognizer.begun.get()
    complete.set_exception(unavailable("ASR_OVERLOADED", "busy"))
    while session.recognizer.begun.empty():  # the failure is noted within a few turns of the event loop
        await asyncio.sleep(0)
        if await session.partials.end(EndTurn(turn_id=1, onset_sample=0, end_sample=300)) is None:
            break
    assert session.heard.empty()


def test_after_a_partial_as_much_time_passes_as_it_took() -> None:
    async def scenario() -> None:
        session = Session()
        loop = asyncio.get_running_loop()
        session.ask(100)
        _, first = await session.recognizer.begun.get()
        session.ask(200)
        loop.call_later(0.8, first.set_result, "one")
        began_s = loop.time()
        await session.recognizer.begun.get()
        assert round(loop.time() - began_s, 3) == 1.6
        await session.partials.cancel()

    virtual_time.run(scenario())
