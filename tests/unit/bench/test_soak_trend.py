"""A line through samples, and what is called flat."""

from __future__ import annotations

import random

import pytest

from bench.soak.trend import FLOOR_S, Flatness, floors, slope, trend

FLATNESS = Flatness(warm_up_s=60.0, min_span_s=100.0, growth_percent=5.0, growth_floor=8.0)


def line(*, start: float, per_second: float, seconds: int = 600) -> list[tuple[float, float]]:
    return [(float(age_s), start + per_second * age_s) for age_s in range(0, seconds, 5)]


def test_the_slope_of_a_line_is_its_own() -> None:
    assert slope(line(start=100, per_second=0.25)) == pytest.approx(0.25)
    assert slope(line(start=100, per_second=-2)) == pytest.approx(-2)


def test_the_slope_is_that_of_least_squares() -> None:
    assert slope([(0, 1), (1, 3), (2, 2), (3, 5)]) == pytest.approx(1.1)


def test_one_sample_and_samples_of_one_moment_have_no_slope() -> None:
    assert slope([]) == slope([(1, 5)]) == slope([(1, 5), (1, 9)]) == 0


def test_noise_around_a_level_is_flat() -> None:
    chance = random.Random(1)
    found = trend([(x, y + chance.uniform(-20, 20)) for x, y in line(start=400, per_second=0)], FLATNESS)
    assert found is not None
    assert found.verdict == "flat"


def test_what_creeps_is_not_flat_and_says_how_fast() -> None:
    found = trend(line(start=400, per_second=0.05), FLATNESS)
    assert found is not None
    assert found.verdict == "not flat"
    assert found.slope_per_hour == pytest.approx(180)
    assert found.growth == pytest.approx(0.05 * 535)
    assert (found.first, found.last, found.highest) == pytest.approx((403, 429.75, 429.75))


def test_what_shrinks_is_flat() -> None:
    found = trend(line(start=400, per_second=-0.5), FLATNESS)
    assert found is not None
    assert found.verdict == "flat"


def test_a_small_figure_may_grow_by_the_floor() -> None:
    within, beyond = (
        trend(line(start=20, per_second=7.9 / 535), FLATNESS),
        trend(line(start=20, per_second=8.1 / 535), FLATNESS),
    )
    assert within is not None
    assert beyond is not None
    assert (within.verdict, beyond.verdict) == ("flat", "not flat")


def test_the_warm_up_is_not_looked_at() -> None:
    found = trend([*((float(x), 10.0 * x) for x in range(0, 60, 5)), *line(start=400, per_second=0)[12:]], FLATNESS)
    assert found is not None
    assert (found.first, found.slope_per_hour, found.verdict) == (400, 0, "flat")


def test_a_short_life_is_not_judged_and_one_that_ends_in_its_warm_up_has_no_trend() -> None:
    found = trend(line(start=400, per_second=5, seconds=120), FLATNESS)
    assert found is not None
    assert found.verdict == "too short"
    assert trend(line(start=400, per_second=5, seconds=50), FLATNESS) is None


def saw(*, per_second: float) -> list[tuple[float, float]]:
    """Garbage of 60 that is collected every 70 s, on a floor that may rise."""
    return [(x, y + 60 * (x % 70) / 70) for x, y in line(start=400, per_second=per_second)]


def test_a_saw_is_judged_by_its_floor() -> None:
    level, rising = trend(saw(per_second=0), FLATNESS), trend(saw(per_second=0.08), FLATNESS)
    assert level is not None
    assert rising is not None
    assert (level.verdict, rising.verdict) == ("flat", "not flat")
    assert level.growth == pytest.approx(0, abs=5)


def test_a_floor_is_the_lowest_sample_of_its_part_and_a_short_rest_has_none() -> None:
    assert FLOOR_S == 90
    assert floors([(0, 5), (40, 3), (80, 4), (100, 9), (170, 8), (185, 1)]) == [(40, 3), (170, 8)]
    assert floors([(10, 7), (20, 6)]) == [(20, 6)]
    assert floors([]) == []
