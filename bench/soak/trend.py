"""Whether a figure stays where it is: a straight line through its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = tuple[float, float]
"""Age of the process in seconds, and the figure then."""
FLOOR_S = 90.0
"""Garbage waits for its collection, which makes a saw of memory; its lowest point in so long is what is held."""
Verdict = Literal["flat", "not flat", "too short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatness:
    """What counts as flat.

    Attributes:
        warm_up_s: What a process does first is not looked at.
        min_span_s: A shorter line says nothing.
        growth_percent: The line may rise by so much of the mean from its first sample to its last one.
        growth_floor: Or by so much, whatever the mean.
    """

    warm_up_s: float
    min_span_s: float
    growth_percent: float
    growth_floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A figure of one process after its warm-up.

    Attributes:
        first: The first sample.
        last: The last one.
        highest: The highest one.
        slope_per_hour: Of the least-squares line through the floors.
        growth: What that line rises by from the first sample to the last one.
        verdict: "too short" if there are too few samples to say.
    """

    first: float
    last: float
    highest: float
    slope_per_hour: float
    growth: float
    verdict: Verdict


def slope(points: Sequence[Point]) -> float:
    """Of the least-squares line, for each second; 0 where there is no line."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def floors(points: Sequence[Point]) -> list[Point]:
    """The lowest of each FLOOR_S. A rest that is not half as long says nothing, and is left out if it is not all."""
    if not points:
        return []
    began, ended = points[0][0], points[-1][0]
    count = max(1, round((ended - began) / FLOOR_S))
    parts: list[list[Point]] = [[] for _ in range(count)]
    for point in points:
        number = int((point[0] - began) // FLOOR_S)
        if number < count:
            parts[number].append(point)
    return [min(part, key=lambda point: point[1]) for part in parts if part]


def trend(points: Sequence[Point], flatness: Flatness) -> Trend | None:
    """Judge a process's samples; None if it ended in its warm-up. A line that falls is flat, too."""
    warm = [point for point in points if point[0] >= flatness.warm_up_s]
    if not warm:
        return None
    values = [value for _, value in warm]
    span_s = warm[-1][0] - warm[0][0]
    per_second = slope(floors(warm))
    growth = per_second * span_s
    allowed = max(flatness.growth_floor, flatness.growth_percent / 100 * sum(values) / len(values))
    verdict: Verdict = "flat" if growth <= allowed else "not flat"
    return Trend(
        first=values[0],
        last=values[-1],
        highest=max(values),
        slope_per_hour=per_second * 3600,
        growth=growth,
        verdict="too short" if span_s < flatness.min_span_s else verdict,
    )
