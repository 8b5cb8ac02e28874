"""How much of a window of 30 s is encoded."""

from __future__ import annotations

import numpy as np
import pytest
from voiceplane_speech_input.asr.short_window_whisper import MARGIN_FRAMES, MIN_FRAMES, frames_to_encode

WHOLE = 3000


def window(spoken: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    features = np.zeros((80, WHOLE), np.float32)
    features[:, :spoken] = -0.5
    return features


@pytest.mark.parametrize(
    ("spoken", "encoded"),
    [
        pytest.param(0, MIN_FRAMES, id="nothing"),
        pytest.param(150, MIN_FRAMES, id="a word"),
        pytest.param(MIN_FRAMES - MARGIN_FRAMES, MIN_FRAMES, id="just within the shortest"),
        pytest.param(1200, 1200 + MARGIN_FRAMES, id="a long sentence"),
        pytest.param(1201, 1202 + MARGIN_FRAMES, id="an odd number"),
        pytest.param(2900, WHOLE, id="no room for the margin"),
        pytest.param(WHOLE, WHOLE, id="a full window"),
    ],
)
def test_what_was_said_and_a_margin_is_encoded(spoken: int, encoded: int) -> None:
    assert frames_to_encode(window(spoken)) == encoded


def test_silence_within_speech_does_not_end_it() -> None:
    features = window(1500)
    features[:, 400:1400] = 0
    assert frames_to_encode(features) == 1500 + MARGIN_FRAMES


def test_the_longest_of_a_batch_counts() -> None:
    assert frames_to_encode(np.stack([window(100), window(1600)])) == 1600 + MARGIN_FRAMES
