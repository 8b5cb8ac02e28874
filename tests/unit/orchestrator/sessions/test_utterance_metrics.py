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


class MeasuredUtterance:
    def __init__(self, *, after: LatencyStart) -> None:
        self.clock = VirtualClock()
        self.registry_metrics = Metrics()
        self.span = Recorded()
        self.metrics = UtteranceMetrics(
            session_id="s",
            utterance=1,
            since_s=999.0,
            after=after,
            span=self.span,
            metrics=self.registry_metrics,
            clock=self.clock,
        )

    def sum(self, name: str, **labels: str) -> float | None:
        return self.registry_metrics.registry.get_sample_value(f"{PREFIX}{name}_seconds_sum", labels)


async def test_a_turn_is_measured_from_the_end_of_speech_to_the_first_audio() -> None:
    measured = MeasuredUtterance(after="speech")
    await measured.clock.advance(0.25)
    assert measured.metrics.first_text_arrived() == pytest.approx(0.25)
    await measured.clock.advance(0.125)
    assert measured.metrics.first_frame(model="m") == pytest.approx(1.375)
    measured.metrics.text_complete()
    await measured.clock.advance(2.0)
    measured.metrics.ended("complete")
    assert measured.sum("reply_first_token") == pytest.approx(0.25)
    assert measured.sum("reply") == pytest.approx(0.375)
    assert measured.sum("synthesis", model="m") == pytest.approx(0.125)
    assert measured.sum("first_audio", after="speech") == pytest.approx(1.375)
    assert measured.span.parts == {
        "reply_first_token": (1000.0, 1000.25),
        "first_audio": (1000.25, 1000.375),
        "reply": (1000.0, None),
        "playout": (1000.375, None),
    }
    assert measured.span.over


async def test_a_text_that_was_given_is_no_reply() -> None:
    measured = MeasuredUtterance(after="text")
    measured.metrics.first_text_arrived()
    measured.metrics.text_complete()
    measured.metrics.first_frame(model="m")
    measured.metrics.ended("complete")
    assert measured.sum("reply_first_token") == 0.0
    assert measured.sum("first_audio", after="text") == pytest.approx(1.0)
    assert set(measured.span.parts) == {"first_audio", "playout"}


async def test_frames_are_late_by_what_exceeds_20_ms_and_not_because_of_a_pause() -> None:
    measured = MeasuredUtterance(after="text")
    measured.metrics.frame_sent(paused=False)
    measured.metrics.frame_sent(paused=False)  # a burst is early
    await measured.clock.advance(0.05)
    measured.metrics.frame_sent(paused=False)
    measured.metrics.paused()
    await measured.clock.advance(3.0)
    measured.metrics.frame_sent(paused=False)
    assert measured.sum("frame_jitter") == pytest.approx(0.03)
    assert measured.registry_metrics.registry.get_sample_value(f"{PREFIX}frame_jitter_seconds_count") == 2
