from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_cli.comparison.measurements import loudness, percentiles, require_meter, samples_of, word_error_rate
from voiceplane_cli.output import CliError

from tests.support.compare_results import tone

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = st.lists(st.sampled_from(["the", "train", "leaves", "at", "noon"]), max_size=8)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([7.0], 7.0, 7.0), ([3.0, 1.0], 2.0, 3.0), ([5.0, 1.0, 9.0], 5.0, 9.0), (range(1, 101), 50.5, 95.0)],
)
def test_a_percentiles_is_the_median_and_the_nearest_rank(values: Sequence[float], p50: float, p95: float) -> None:
    found = percentiles(values)
    assert found
    assert (found.p50, found.p95, found.count) == (p50, p95, len(values))


def test_there_is_no_percentiles_of_nothing() -> None:
    assert percentiles([]) is None


def test_loudness_is_that_of_the_standards_own_tone() -> None:
    # BS.1770: a sine of 997 Hz at 0 dBFS in one channel is -3.01 LUFS.
    found = loudness(samples_of(tone(seconds=2, amplitude=10 ** (-20 / 20))))
    assert found.integrated_lufs == pytest.approx(-23.01, abs=0.05)
    assert found.peak_dbfs == pytest.approx(-20.0, abs=0.05)
    assert len(found.momentary_lufs) == 17
    assert all(lufs == pytest.approx(-23.01, abs=0.1) for lufs in found.momentary_lufs)


def test_momentary_loudness_falls_where_it_is_silent() -> None:
    found = loudness(samples_of(tone(seconds=1) + bytes(96_000) + tone(seconds=1)))
    assert found.momentary_lufs[0] == pytest.approx(-9.0, abs=0.2)
    middle = found.momentary_lufs[13]
    assert middle is None or middle < -60


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.4])
def test_what_is_too_short_to_be_measured_has_a_peak_only(seconds: float) -> None:
    found = loudness(samples_of(tone(seconds=seconds)))
    assert found.integrated_lufs is None
    assert found.momentary_lufs == ()
    assert (found.peak_dbfs is None) == (seconds == 0)


def test_silence_has_neither_loudness_nor_peak() -> None:
    found = loudness(np.zeros(48_000))
    assert (found.integrated_lufs, found.peak_dbfs, set(found.momentary_lufs)) == (None, None, {None})


def test_without_the_meter_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_meter()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CliError, match=r"pip install 'voiceplane\[compare\]'"):
        require_meter()


@given(said=WORDS.filter(bool), heard=WORDS)
def test_the_word_error_rate_is_the_one_of_an_independent_judge(said: list[str], heard: list[str]) -> None:
    assert word_error_rate(said, heard) == pytest.approx(jiwer.wer(" ".join(said), " ".join(heard)))


def test_inserted_words_are_errors_too() -> None:
    assert word_error_rate([], ["boo"]) == 1
    assert word_error_rate([], []) == 0
