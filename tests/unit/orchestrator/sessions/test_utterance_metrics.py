"""What is measured of an utterance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.tracing import Attribute, Span
from voiceplane_orchestrator.metrics import Metrics
from voiceplane_orchestrator.sessions.utterance_metrics import UtteranceMetrics

from tests.support.clock import VirtualClock

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.utterance_metrics import LatencyStart

PREFIX = "voiceplane_orchestrator_"


class Recorded(Span):
    """Remembers its parts."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float | None]] = {}
        self.over = False

    def interval(self, name: str, *, began_s: float, ended_s: float | None = None, **_: Attribute) -> None:
        self.parts[name] = (began_s, ended_s)

    def end(self, *, at_s: float | None = None) -> None:
        del at_s
        self.over = True


class Book:
    def __init__(self, *, after: LatencyStart) -> None:
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.span = Recorded()
        self.account = UtteranceMetrics(
            session_id="s",
            utterance=1,
            since_s=999.0,
            after=after,
            span=self.span,
            metrics=self.metrics,
            clock=self.clock,
        )

    def sum(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"{PREFIX}{name}_seconds_sum", labels)


async def test_a_turn_is_measured_from_the_end_of_speech_to_the_ear() -> None:
    book = Book(after="speech")
    await book.clock.advance(0.25)
    assert book.account.text_came() == pytest.approx(0.25)
    await book.clock.advance(0.125)
    assert book.account.began(model="m") == pytest.approx(1.375)
    book.account.text_ended()
    await book.clock.advance(2.0)
    book.account.ended("complete")
    assert book.sum("reply_first_token") == pytest.approx(0.25)
    assert book.sum("reply") == pytest.approx(0.375)
    assert book.sum("synthesis", model="m") == pytest.approx(0.125)
    assert book.sum("first_audio", after="speech") == pytest.approx(1.375)
    assert book.span.parts == {
        "reply_first_token": (1000.0, 1000.25),
        "first_audio": (1000.25, 1000.375),
        "reply": (1000.0, None),
        "playout": (1000.375, None),
    }
    assert book.span.over


async def test_a_text_that_was_given_is_no_reply() -> None:
    book = Book(after="text")
    book.account.text_came()
    book.account.text_ended()
    book.account.began(model="m")
    book.account.ended("complete")
    assert book.sum("reply_first_token") == 0.0
    assert book.sum("first_audio", after="text") == pytest.approx(1.0)
    assert set(book.span.parts) == {"first_audio", "playout"}


async def test_frames_are_late_by_what_exceeds_20_ms_and_not_because_of_a_pause() -> None:
    book = Book(after="text")
    book.account.frame_sent(paused=False)
    book.account.frame_sent(paused=False)  # a burst is early
    await book.clock.advance(0.05)
    book.account.frame_sent(paused=False)
    book.account.paused()
    await book.clock.advance(3.0)
    book.account.frame_sent(paused=False)
    assert book.sum("frame_jitter") == pytest.approx(0.03)
    assert book.metrics.registry.get_sample_value(f"{PREFIX}frame_jitter_seconds_count") == 2
