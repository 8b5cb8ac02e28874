"""Measurements of recordings: latencies, real-time factors, loudness, word error rate."""

from __future__ import annotations

import importlib.util
import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.output import CliError

BLOCK_MS = 400
HOP_MS = 100
"""Of BS.1770: loudness is that of blocks of 400 ms, one each 100 ms."""

Samples = npt.NDArray[np.float64]
"""Within -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Measurements in short.

    Attributes:
        p50: The median.
        p95: The nearest rank: of fewer than 20 values the largest.
        count: How many there are.
    """

    p50: float
    p95: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """How loud a recording is.

    Attributes:
        integrated_lufs: By BS.1770-4; None for silence, and for less than 400 ms.
        momentary_lufs: Of each block of 400 ms, one each 100 ms; None for silence.
        peak_dbfs: The largest sample, against full scale; None for silence.
    """

    integrated_lufs: float | None
    momentary_lufs: tuple[float | None, ...]
    peak_dbfs: float | None


def require_meter() -> None:
    """Make sure that loudness can be measured.

    Raises:
        CliError: It can't; has the command that installs what is missing.
    """
    if importlib.util.find_spec("pyloudnorm") is None:
        raise CliError("pyloudnorm, which measures loudness, is not installed: pip install 'voiceplane[compare]'")


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Median and 95th percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Percentiles(p50=round(statistics.median(ordered), 4), p95=round(p95, 4), count=len(ordered))


def samples_of(pcm: bytes) -> Samples:
    """Mono s16le PCM as numbers."""
    return np.frombuffer(pcm, "<i2") / 32768


def loudness(samples: Samples) -> Loudness:
    """Measure a recording at 48 kHz; wants pyloudnorm."""
    import pyloudnorm  # noqa: PLC0415  # an extra, see require_meter()

    peak = float(np.abs(samples).max(initial=0.0))
    peak_dbfs = round(20 * math.log10(peak), 2) if peak else None
    if len(samples) <= SAMPLE_RATE_HZ * BLOCK_MS // 1000:
        return Loudness(integrated_lufs=None, momentary_lufs=(), peak_dbfs=peak_dbfs)
    meter = pyloudnorm.Meter(SAMPLE_RATE_HZ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of silence it warns, and answers -inf
        integrated = float(meter.integrated_loudness(samples))
    return Loudness(
        integrated_lufs=_finite(integrated),
        momentary_lufs=tuple(_finite(float(block)) for block in meter.blockwise_loudness),
        peak_dbfs=peak_dbfs,
    )


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words that were changed, lost or put in, over the words that were said; above 1 where more was heard."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        diagonal, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            diagonal, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(said))


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
