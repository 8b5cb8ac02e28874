from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from voiceplane_cli.comparison import plots

BOTTOM = plots.HEIGHT - plots.BOTTOM


def points(svg: str, kind: str) -> list[tuple[float, float]]:
    """Those of the shape of a class; the SVG must be well-formed."""
    root = ET.fromstring(svg)  # noqa: S314  # our own
    (shape,) = (each for each in root if each.get("class") == kind)
    return [(float(x), float(y)) for x, y in re.findall(r"(\S+),(\S+)", shape.get("points", ""))]


def test_a_waveform_reaches_as_high_and_as_far_as_the_sound() -> None:
    samples = np.concatenate([np.zeros(1000), np.full(1000, 1.0), np.full(1000, -0.5)])
    found = points(plots.waveform(samples, span_s=6.0, rate_hz=1000, label="w"), "shape")
    middle = (plots.TOP + BOTTOM) / 2
    assert min(y for _, y in found) == plots.TOP
    assert max(y for _, y in found) == pytest.approx(middle + 0.25 * (BOTTOM - plots.TOP))
    half = plots.LEFT + (plots.WIDTH - plots.RIGHT - plots.LEFT) / 2
    assert max(x for x, _ in found) == pytest.approx(half, abs=2), "3 s of 6 s"
    assert {y for x, y in found if x < plots.LEFT + 50} == {middle}, "the first second is silent"


def test_a_waveform_of_nothing_is_an_empty_plot() -> None:
    assert "polygon" not in plots.waveform(np.zeros(0), span_s=1.0, rate_hz=1000, label="w")


def test_loudness_lies_higher_where_it_is_louder_and_silence_on_the_floor() -> None:
    curve = plots.loudness_curve([-30.0, -10.0, None], target_lufs=-16.0, span_s=1.0, label="l")
    quiet, loud, silent = (y for _, y in points(curve, "line"))
    assert plots.TOP < loud < quiet < silent
    assert silent == BOTTOM


def test_arrivals_rise_by_a_frame_at_each_arrival() -> None:
    svg = plots.arrivals([50.0, 50.0, 90.0], span_s=0.1, label="a")
    found = points(svg, "line")
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert [y for _, y in found] == sorted((y for _, y in found), reverse=True)
    assert found[-1][1] == plots.TOP
    assert list(found[0]) == [plots.LEFT + (plots.WIDTH - plots.RIGHT - plots.LEFT) / 2, BOTTOM]


@pytest.mark.parametrize(
    ("most", "last", "count"), [(1.0, 1.0, 6), (4.4, 4.0, 5), (6.7, 6.0, 4), (0.06, 0.06, 4), (90, 80, 5)]
)
def test_ticks_are_round_and_few(most: float, last: float, count: int) -> None:
    found = plots.ticks(most)
    assert (found[0], found[-1], len(found)) == (0, last, count)


def test_a_label_can_say_anything() -> None:
    svg = plots.waveform(np.zeros(10), span_s=1.0, rate_hz=1000, label='a "b" <c> & d')
    assert ET.fromstring(svg).get("aria-label") == 'a "b" <c> & d'  # noqa: S314
