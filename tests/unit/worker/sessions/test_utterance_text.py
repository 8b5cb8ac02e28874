"""When a segment leaves: with what decides it, or after a quiet time, in virtual time."""

from __future__ import annotations

import asyncio
import functools

import pytest
from voiceplane_worker.sessions.utterance_text import UtteranceText
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import TextReader

from tests.support.virtual_time import run

QUIET_MS = 250


def utterance() -> UtteranceText:
    reader = TextReader(language="en", segmentation="sentence", policy=TextPolicy())
    return UtteranceText(utterance_id="u", epoch=1, reader=reader, quiet_ms=QUIET_MS)


async def released(
    text: UtteranceText, arrivals: list[tuple[float, str]], *, until_s: float
) -> list[tuple[float, str]]:
    """The segments, each with the second at which it left, for text that arrives at the given seconds."""
    loop = asyncio.get_running_loop()
    for at_s, chunk in arrivals:
        loop.call_at(at_s, functools.partial(text.add, chunk, flush=False, end=False))
    loop.call_at(until_s, functools.partial(text.add, "", flush=False, end=True))
    found = []
    while (segment := await text.next_segment()) is not None:
        found.append((loop.time(), segment.text))
    return found


@pytest.mark.parametrize(
    ("arrivals", "leaves"),
    [
        ([(1.0, "It is done.")], [(1.25, "It is done.")]),
        ([(1.0, "It is **done.**")], [(1.25, "It is done.")]),
        ([(1.0, "It is done. "), (1.1, "It was easy.")], [(1.1, "It is done."), (1.35, "It was easy.")]),
        ([(1.0, "Ready?Go!")], [(1.0, "Ready?"), (1.25, "Go!")]),
        ([(1.0, "It is done!\n")], [(1.0, "It is done!")]),
        ([(1.0, "It costs $5."), (1.2, "20 now")], [(5.0, "It costs five dollars and twenty cents now")]),
        ([(1.0, "Ask Dr.")], [(5.0, "Ask Doctor.")]),
        ([(1.0, "no stop here")], [(5.0, "no stop here")]),
    ],
)
def test_a_finished_sentence_leaves_after_the_quiet_time(
    arrivals: list[tuple[float, str]], leaves: list[tuple[float, str]]
) -> None:
    found = run(released(utterance(), arrivals, until_s=5.0))
    assert [words for _, words in found] == [words for _, words in leaves]
    assert [at_s for at_s, _ in found] == pytest.approx([at_s for at_s, _ in leaves])


def test_pending_text_is_what_is_in_no_segment_yet() -> None:
    async def scenario() -> list[int]:
        text = utterance()
        text.add("One is here. Two", flush=False, end=False)
        pending = [text.pending_chars]
        await text.next_segment()
        pending.append(text.pending_chars)
        text.add("", flush=False, end=True)
        await text.next_segment()
        await text.next_segment()
        return [*pending, text.pending_chars]

    assert run(scenario()) == [16, 3, 0]
