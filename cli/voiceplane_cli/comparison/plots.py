"""Small plots as SVG inside of a page: they recording its colours by class, and carry their meaning as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from voiceplane_cli.comparison.measurements import HOP_MS, Samples

WIDTH, HEIGHT = 360, 140
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 22
"""Room around the plot for its scales."""
TICKS = 5
NICE_STEPS = (1, 2, 5)
FLOOR_LUFS = -60.0
FRAME_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisScale:
    """Where a value lies between two edges of the plot."""

    least: float
    most: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The coordinate, at the nearer edge for a value outside."""
        share = (value - self.least) / (self.most - self.least)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


def ticks(most: float) -> list[float]:
    """Round values from 0 to `most`, at most five steps apart."""
    magnitude = 10.0 ** np.floor(np.log10(most / TICKS))
    step = next((magnitude * nice for nice in NICE_STEPS if magnitude * nice * TICKS >= most), magnitude * 10)
    return [round(float(step * number), 6) for number in range(int(most / step + 1e-9) + 1)]


def waveform(samples: Samples, *, span_s: float, rate_hz: int, label: str) -> str:
    """The least and the greatest sample of each column, over time.

    Args:
        samples: Within -1 to 1.
        span_s: The time that the plot's width stands for.
        rate_hz: Of the samples.
        label: The text for screen readers.
    """
    x, y = _time(span_s), AxisScale(least=-1, most=1, start=HEIGHT - BOTTOM, end=TOP)
    columns = max(1, min(len(samples), round(x.at(len(samples) / rate_hz) - LEFT)))
    parts = [part for part in np.array_split(samples, columns) if len(part)]
    starts = np.cumsum([0, *(len(part) for part in parts)])[:-1] / rate_hz
    above = [f"{x.at(start)},{y.at(float(part.max()))}" for start, part in zip(starts, parts, strict=True)]
    below = [f"{x.at(start)},{y.at(float(part.min()))}" for start, part in zip(starts, parts, strict=True)]
    shape = f'<polygon class="shape" points="{" ".join([*above, *reversed(below)])}"/>' if parts else ""
    return _plot(label, [*_time_axis(x, span_s), *_rule(y.at(0), "0"), shape])


def loudness_curve(momentary_lufs: Sequence[float | None], *, target_lufs: float, span_s: float, label: str) -> str:
    """Momentary loudness over time, beside the loudness that is aimed at; silence lies on the floor."""
    x, y = _time(span_s), AxisScale(least=FLOOR_LUFS, most=0, start=HEIGHT - BOTTOM, end=TOP)
    points = [
        f"{x.at((number * HOP_MS + HOP_MS * 2) / 1000)},{y.at(FLOOR_LUFS if lufs is None else lufs)}"
        for number, lufs in enumerate(momentary_lufs)
    ]
    return _plot(
        label,
        [
            *_time_axis(x, span_s),
            *(part for lufs in (FLOOR_LUFS, -40, -20, 0) for part in _rule(y.at(lufs), f"{lufs:.0f}")),
            f'<line class="aim" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(target_lufs)}" y2="{y.at(target_lufs)}"/>',
            _line(points),
        ],
    )


def arrivals(arrivals_ms: Sequence[float], *, span_s: float, label: str) -> str:
    """Audio that has arrived, and audio that has been played by one who plays at once, over the time since the text."""
    total_s = len(arrivals_ms) * FRAME_S
    x, y = _time(span_s), AxisScale(least=0, most=max(total_s, FRAME_S), start=HEIGHT - BOTTOM, end=TOP)
    steps = [
        f"{x.at(at_ms / 1000)},{y.at(frames * FRAME_S)}"
        for number, at_ms in enumerate(arrivals_ms)
        for frames in (number, number + 1)
    ]
    begin = arrivals_ms[0] / 1000
    played = f'<line class="aim" x1="{x.at(begin)}" y1="{y.at(0)}" x2="{x.at(begin + total_s)}" y2="{y.at(total_s)}"/>'
    marks = [part for audio in ticks(total_s) for part in _rule(y.at(audio), f"{audio:g}")]
    return _plot(label, [*_time_axis(x, span_s), *marks, played, _line(steps)])


def _time(span_s: float) -> AxisScale:
    return AxisScale(least=0, most=span_s, start=LEFT, end=WIDTH - RIGHT)


def _time_axis(x: AxisScale, span_s: float) -> list[str]:
    return [
        f'<text class="tick" x="{x.at(at)}" y="{HEIGHT - 6}" text-anchor="middle">{at:g} s</text>'
        for at in ticks(span_s)
        if x.at(at) < WIDTH - RIGHT - 12
    ]


def _rule(y: float, text: str) -> list[str]:
    return [
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>',
        f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>',
    ]


def _line(points: Sequence[str]) -> str:
    return f'<polyline class="line" points="{" ".join(points)}"/>'


def _plot(label: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    return "\n".join([head, *(part for part in parts if part), "</svg>"])
