"""Which loads are tried, which one holds, and what is said of the one that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.capacity import probe
from bench.capacity.search import Step, largest, next_load, per_session_hour, projected, saturated

if TYPE_CHECKING:
    from pathlib import Path

STEP = Step(
    load=8,
    utterances=8,
    audio_rate=8.0,
    jitter_p95_ms=2.0,
    late_frames=0,
    first_audio_p95_ms=50.0,
    loop_share=0.3,
    compute_share=0.6,
    other_share=0.1,
    compute_threads=2,
    lag_p95_ms=1.0,
    queue_p95=2.0,
    listener_share=0.2,
    listener_lag_p95_ms=1.0,
    machine_share=0.6,
)


def tried(limit: int, *, start: int) -> dict[int, bool]:
    held: dict[int, bool] = {}
    while (load := next_load(held, start=start)) is not None:
        assert load not in held
        held[load] = load <= limit
    return held


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 31, 100, 1000])
@pytest.mark.parametrize("start", [1, 2, 8, 64])
def test_the_search_ends_within_a_tenth_of_the_limit(limit: int, start: int) -> None:
    found = largest(tried(limit, start=start))
    assert found <= limit <= found * 1.12 + 1


def test_a_program_that_holds_nothing_is_said_to_hold_none() -> None:
    held = tried(0, start=8)
    assert held == {8: False, 4: False, 2: False, 1: False}
    assert largest(held) == 0


def test_a_load_that_held_above_one_that_did_not_does_not_count() -> None:
    assert largest({4: True, 8: False, 16: True}) == 4


def test_a_step_holds_only_without_jitter_and_late_frames() -> None:
    assert STEP.holds
    assert not replace(STEP, jitter_p95_ms=10.0).holds
    assert not replace(STEP, late_frames=1).holds
    assert not replace(STEP, utterances=0).holds


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (replace(STEP, listener_share=0.9, loop_share=0.9), "listens"),
        (replace(STEP, loop_share=0.9, machine_share=1.0), "event loop"),
        (replace(STEP, compute_share=1.8), "compute threads"),
        (replace(STEP, compute_share=0.9), "nothing"),
        (replace(STEP, compute_threads=0, compute_share=0.0), "nothing"),
        (replace(STEP, machine_share=0.99, lag_p95_ms=7.0), "machine's cores, of which it has 100% of one, its event"),
    ],
)
def test_what_is_used_up_is_named(step: Step, words: str) -> None:
    assert words in saturated(step)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (replace(STEP, loop_share=0.5, compute_share=0.1, other_share=0.0), (13, "its event loop")),
        (replace(STEP, loop_share=0.1, compute_share=0.8, other_share=0.0), (15, "the cores")),
        (replace(STEP, loop_share=0.1, compute_share=0.8, compute_threads=1), (8, "its compute threads")),
        (replace(STEP, audio_rate=4.0, loop_share=0.5, compute_share=0.0, compute_threads=0), (6, "its event loop")),
        (replace(STEP, audio_rate=0.0), (0, "nothing was heard")),
    ],
)
def test_what_would_hold_on_an_idle_machine_follows_from_the_cost_of_audio(
    step: Step, expected: tuple[int, str]
) -> None:
    assert projected(step, cores=2) == expected


def test_a_session_costs_what_its_share_of_the_machine_costs() -> None:
    assert per_session_hour(0.6, sessions=10, utilization=0.5, talk_share=0.5) == pytest.approx(0.06)


def test_what_a_probe_wrote_is_read_from_a_moment_on(tmp_path: Path) -> None:
    file = tmp_path / "lag"
    file.write_bytes(probe.SAMPLE.pack(1.0, 5.0) + probe.SAMPLE.pack(2.0, 6.0) + b"half of o")
    assert probe.read(file, since_s=1.5) == [6.0]
