"""When a turn counts as complete."""

from __future__ import annotations

from typing import Any

import pytest

from bench.soak.turns import Hearing, Tally, Turn
from bench.websocket import Audio

FRAME = 960
LOUD = b"\x00\x20" * FRAME
SILENT = bytes(2 * FRAME)
TEXT = "Hello there."  # 10 letters: 250 ms at least


def audio(number: int, *, last: bool = False, pcm: bytes = LOUD, valid: int = FRAME) -> Audio:
    return Audio(epoch=1, utterance=1, media_time_samples=number * FRAME, valid_samples=valid, last=last, pcm=pcm)


def heard(*frames: Audio) -> Hearing:
    hearing = Hearing()
    for frame in frames:
        hearing.hear(frame)
    return hearing


def whole(count: int = 20, **last: Any) -> list[Audio]:
    return [*(audio(number) for number in range(count - 1)), audio(count - 1, last=True, **last)]


def test_all_frames_to_the_last_one_are_complete() -> None:
    assert heard(*whole()).lack(TEXT, result="complete", samples=20 * FRAME) == ""


def test_the_last_frame_counts_without_its_padding() -> None:
    hearing = heard(*whole(valid=100))
    assert hearing.lack(TEXT, result="complete", samples=19 * FRAME + 100) == ""


def test_what_is_spoken_again_after_a_reroute_is_no_gap() -> None:
    frames = whole()
    assert heard(*frames[:10], *frames[5:]).lack(TEXT, result="complete", samples=20 * FRAME) == ""


@pytest.mark.parametrize(
    ("frames", "result", "samples", "lack"),
    [
        (whole(), "interrupted", 20 * FRAME, "done: interrupted"),
        ([*whole()[:5], *whole()[6:]], "complete", 20 * FRAME, "a gap in the audio"),
        (whole()[1:], "complete", 20 * FRAME, "a gap in the audio"),
        (whole()[:-1], "complete", 19 * FRAME, "no last frame"),
        (whole(), "complete", 21 * FRAME, "other samples than the server has counted"),
        ([audio(0, pcm=SILENT), audio(1, pcm=SILENT, last=True)], "complete", 2 * FRAME, "silence"),
        (whole(12), "complete", 12 * FRAME, "too short for its text"),
    ],
)
def test_what_lacks_is_named(frames: list[Audio], result: str, samples: int, lack: str) -> None:
    assert heard(*frames).lack(TEXT, result=result, samples=samples) == lack


def turn(**changes: Any) -> Turn:
    return Turn(**{"path": "/v1/talk", "manner": "listens", "outcome": "complete", **changes})


def test_turns_that_the_person_cut_off_do_not_count() -> None:
    tally = Tally([*[turn()] * 3, turn(outcome="lost", reason="HTTP 503"), *[turn(outcome="cut off")] * 6])
    assert tally.availability_percent == 75


def test_nothing_said_is_nothing_shown() -> None:
    assert Tally().availability_percent == 0
    assert Tally([turn(outcome="cut off")]).availability_percent == 0


def test_lost_turns_are_reported_by_their_reasons_and_others_by_manner() -> None:
    turns = [turn(), turn(outcome="lost", reason="NO_WORKER"), turn(outcome="lost", reason="NO_WORKER")]
    assert Tally(turns).by_outcome() == [("complete", "listens", 1), ("lost", "NO_WORKER", 2)]


def test_first_audio_is_reported_for_each_endpoint() -> None:
    tally = Tally([turn(first_audio_ms=40.0), turn(path="/v1/speak", first_audio_ms=30.0), turn(outcome="lost")])
    assert tally.first_audio_ms("/v1/talk") == [40.0]


def test_complete_turns_of_more_than_one_worker_are_counted() -> None:
    assert Tally([turn(), turn(reroutes=2), turn(reroutes=1, outcome="cut off")]).rerouted == 1
