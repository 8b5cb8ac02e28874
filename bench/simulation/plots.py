"""Line plots as small SVG files, drawn without a library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 150, 34, 46
COLOURS = ("#1b6ac9", "#c2410c", "#15803d", "#7e22ce", "#525252")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.title{font-weight:600}.grid{stroke:#ddd}"
    "polyline{fill:none;stroke-width:2}"
)
STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale and its name.

    Attributes:
        name: What it shows, with its unit.
        values: All that are to find room.
        log: By powers of ten, for values above 0; otherwise from 0.
    """

    name: str
    values: Sequence[float]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        marks = self.marks()
        least, most, at = marks[0], marks[-1], value
        if self.log:
            least, most, at = math.log10(least), math.log10(most), math.log10(value)
        return (at - least) / (most - least)

    def marks(self) -> list[float]:
        """Round values that span all others."""
        most = max(self.values, default=1.0) or 1.0
        if self.log:
            first, last = math.floor(math.log10(min(self.values))), math.ceil(math.log10(most))
            return [10.0**power for power in range(first, max(last, first + 1) + 1)]
        magnitude = 10.0 ** math.floor(math.log10(most / STEPS))
        step = next(magnitude * nice for nice in (1, 2, 5, 10) if magnitude * nice * STEPS >= most * (1 - 1e-9))
        return [round(step * number, 9) for number in range(math.ceil(most / step - 1e-9) + 1)]


def lines(title: str, *, x: Axis, y: Axis, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A plot with one line for each series, named beside its end."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    parts = [
        f'{head} aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    for mark in y.marks():
        at = _down(y, mark)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{mark:g}</text>')
    below = HEIGHT - BOTTOM + 16
    parts += [f'<text x="{_across(x, mark)}" y="{below}" text-anchor="middle">{mark:g}</text>' for mark in x.marks()]
    middle = (LEFT + WIDTH - RIGHT) // 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.name)}</text>')
    parts.append(f'<text transform="rotate(-90 14 150)" x="14" y="150" text-anchor="middle">{escape(y.name)}</text>')
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{_across(x, left)},{_down(y, up)}" for left, up in points)
        parts.append(f'<polyline stroke="{colour}" points="{path}"/>')
        key_y = TOP + 8 + 18 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{key_y - 5}" width="14" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 32}" y="{key_y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _across(axis: Axis, value: float) -> float:
    return round(LEFT + axis.share(value) * (WIDTH - RIGHT - LEFT), 1)


def _down(axis: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - BOTTOM - TOP), 1)
