"""Speech from a synthesizer that shares nothing with ours (espeak-ng), and how much of a text was understood."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import wave
from functools import cache
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import pytest
import soxr

if TYPE_CHECKING:
    from numpy.typing import NDArray

SENTENCES = (
    "The train to the airport leaves every twenty minutes.",
    "Please remember to water the plants while I am away.",
    "My sister bought a small house near the river last summer.",
    "We should meet for lunch on Thursday at a quarter past twelve.",
    "The children were playing football in the garden behind the school.",
    "Could you tell me how to get to the nearest hospital?",
    "He opened the window because the room was too warm.",
    "I would like a cup of coffee with milk and no sugar.",
    "The weather will be cold and windy until the end of the week.",
    "She has been working for the same company for more than ten years.",
)
"""Ten ordinary sentences of 2.5 to 4 seconds."""

VOICE = "en-us"
WORDS_PER_MINUTE = 140

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def synthesize(text: str, *, sample_rate_hz: int = 16_000, voice: str = VOICE) -> NDArray[np.float32]:
    """The text as espeak-ng says it: mono, shape (n,), peak at most 0.5. Fails the test where espeak-ng is missing."""
    return _synthesize(text, sample_rate_hz, voice).copy()


def synthesize_pcm(text: str, *, sample_rate_hz: int = 48_000, voice: str = VOICE) -> bytes:
    """The same as s16le PCM."""
    return (synthesize(text, sample_rate_hz=sample_rate_hz, voice=voice) * 32767).astype("<i2").tobytes()


@cache
def _synthesize(text: str, sample_rate_hz: int, voice: str) -> NDArray[np.float32]:
    program = shutil.which("espeak-ng")
    if program is None:
        pytest.fail("espeak-ng is not installed: run scripts/system-packages.sh")
    result = subprocess.run(
        [program, "-v", voice, "-s", str(WORDS_PER_MINUTE), "--stdout", text],
        capture_output=True,
        check=True,
        timeout=30,
    )
    # espeak-ng does not know the length when it writes the header, so the data is what follows "data" and its size.
    with wave.open(io.BytesIO(result.stdout)) as header:
        native_rate_hz = header.getframerate()
    data = result.stdout[result.stdout.index(b"data") + 8 :]
    samples = np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float32) / 32768
    resampled: NDArray[np.float32] = soxr.resample(samples, native_rate_hz, sample_rate_hz)
    return resampled * np.float32(0.5 / np.abs(resampled).max())


def silence(seconds: float, *, sample_rate_hz: int = 16_000) -> NDArray[np.float32]:
    return np.zeros(round(seconds * sample_rate_hz), np.float32)


def noise(seconds: float, *, dbfs: float, sample_rate_hz: int = 16_000, seed: int = 0) -> NDArray[np.float32]:
    """White noise of this RMS level."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * sample_rate_hz))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def onset_sample(speech: NDArray[np.float32]) -> int:
    """Where speech can be heard first: 5 ms whose RMS is above a fiftieth (-34 dB) of the loudest 5 ms."""
    return int(_audible(speech)[0])


def offset_sample(speech: NDArray[np.float32]) -> int:
    """Where it can be heard last."""
    return int(_audible(speech)[-1]) + 1


def _audible(speech: NDArray[np.float32]) -> NDArray[np.intp]:
    width = 80
    level = np.sqrt(np.convolve(speech.astype(np.float64) ** 2, np.ones(width) / width, "same"))
    return np.nonzero(level > level.max() / 50)[0]


def word_error_rate(references: list[str], hypotheses: list[str]) -> float:
    """Word errors over words, of all texts together, after normalize()."""
    return float(jiwer.wer([normalize(text) for text in references], [normalize(text) for text in hypotheses]))


def normalize(text: str) -> str:
    """Lower case, no punctuation, numbers below 100 in words, no contracted "am": "I'm 25." is "i am twenty five"."""
    words = re.findall(r"[a-z0-9]+(?:'[a-z]+)*", text.casefold().replace("\u2019", "'").replace("i'm", "i am"))
    return " ".join(_number_in_words(int(word)) if word.isdecimal() else word for word in words)


def _number_in_words(number: int) -> str:
    if number < len(_UNITS):
        return _UNITS[number]
    if number >= 100:
        return str(number)
    tens, unit = divmod(number, 10)
    return f"{_TENS[tens]} {_UNITS[unit]}" if unit else _TENS[tens]
