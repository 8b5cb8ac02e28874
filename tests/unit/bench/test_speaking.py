"""What counts as late."""

from __future__ import annotations

import pytest

from bench.speaking import Heard


def heard(*arrivals: float, free_at: float = 0.0) -> Heard:
    return Heard(sent_at=0.0, arrivals=list(arrivals), free_at=free_at)


def test_a_frame_is_late_when_what_came_before_it_has_been_played() -> None:
    assert heard(1.0, 1.0, 1.039, 1.059).gaps_ms() == []
    assert heard(1.0, 1.0, 1.043, 1.05).gaps_ms() == pytest.approx([3.0])


def test_an_utterance_that_follows_another_is_played_after_it() -> None:
    before = heard(1.0, 1.0, 1.0, 1.0)
    assert before.played_at == pytest.approx(1.08)
    after = heard(1.02, 1.041, 1.059, free_at=before.played_at)
    assert after.gaps_ms() == []
    assert after.played_at == pytest.approx(1.14)
    assert heard(1.02, 1.11, free_at=before.played_at).gaps_ms() == pytest.approx([10.0])
