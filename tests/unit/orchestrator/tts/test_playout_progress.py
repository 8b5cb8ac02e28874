"""Where a listener is in an utterance, and where another worker has to go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_orchestrator.tts.playout_progress import PlayoutProgress

TEXT = "One small step. Two birds sing."
FIRST = (0, 15)
SECOND = (16, 31)
FRAME = 960


def deliver(progress: PlayoutProgress, span: tuple[int, int], frames: int) -> None:
    for _ in range(frames):
        progress.delivered(
            media_time_samples=progress.delivered_samples, valid_samples=FRAME, text_start=span[0], text_end=span[1]
        )


@pytest.fixture
def progress() -> PlayoutProgress:
    """Ten frames of the first sentence, ten of the second."""
    progress = PlayoutProgress()
    deliver(progress, FIRST, 10)
    deliver(progress, SECOND, 10)
    return progress


def test_nothing_delivered_begins_at_the_beginning() -> None:
    assert PlayoutProgress().resume_at() == 0
    assert PlayoutProgress().text_heard(TEXT) == ""


def test_another_worker_goes_on_at_the_piece_that_was_cut_off(progress: PlayoutProgress) -> None:
    assert progress.resume_at() == SECOND[0]


def test_a_piece_that_has_only_just_begun_is_repeated_and_not_the_one_before() -> None:
    progress = PlayoutProgress()
    deliver(progress, FIRST, 10)
    assert progress.resume_at() == FIRST[0]
    deliver(progress, SECOND, 1)
    assert progress.resume_at() == SECOND[0]


@pytest.mark.parametrize(
    ("frames_heard", "text"),
    [
        (0, ""),
        (4, "One"),
        (10, "One small step."),
        (14, "One small step. Two"),
        (20, TEXT),
    ],
)
def test_what_was_heard_is_reported_to_the_whole_word(progress: PlayoutProgress, frames_heard: int, text: str) -> None:
    progress.heard(frames_heard * FRAME)
    assert progress.text_heard(TEXT) == text


def test_a_cursor_beyond_what_was_delivered_is_not_believed() -> None:
    progress = PlayoutProgress()
    deliver(progress, FIRST, 10)
    progress.heard(10**9)
    assert progress.heard_samples == 10 * FRAME
    assert progress.text_heard(TEXT) == "One small step."


def test_a_late_cursor_does_not_go_back(progress: PlayoutProgress) -> None:
    progress.heard(12 * FRAME)
    progress.heard(3 * FRAME)
    assert progress.heard_samples == 12 * FRAME


def test_a_repeated_piece_is_heard_once() -> None:
    progress = PlayoutProgress()
    deliver(progress, FIRST, 10)
    deliver(progress, SECOND, 3)
    deliver(progress, SECOND, 10)  # by another worker
    progress.heard(progress.delivered_samples)
    assert progress.text_heard(TEXT) == TEXT


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.lists(st.integers(0, 200), max_size=20))
def test_what_was_heard_only_grows_and_is_a_beginning_of_the_text(pieces: list[int], cursors: list[int]) -> None:
    words = [f"word{number}." for number in range(len(pieces))]
    text, progress, start = " ".join(words), PlayoutProgress(), 0
    for word, frames in zip(words, pieces, strict=True):
        deliver(progress, (start, start + len(word)), frames)
        start += len(word) + 1
    before = ""
    for cursor in cursors:
        progress.heard(cursor * FRAME)
        heard = progress.text_heard(text)
        assert heard.startswith(before)
        assert text.startswith(heard)
        before = heard


def test_at_the_end_all_of_the_text_was_heard_with_what_has_no_sound() -> None:
    progress = PlayoutProgress()
    deliver(progress, FIRST, 10)
    progress.delivered(media_time_samples=9600, valid_samples=FRAME, text_start=0, text_end=15, end=True)
    text = "One small step. `code` 😊"
    progress.heard(9600)
    assert progress.text_heard(text) != text
    progress.heard(9600 + FRAME)
    assert progress.text_heard(text) == text
