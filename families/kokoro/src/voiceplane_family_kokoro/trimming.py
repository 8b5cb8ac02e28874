"""The silence around what Kokoro says: a quarter of a second before it, and more than half a second after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from kokoro_onnx.chunker import pause_after

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

WINDOW_S = 0.01
# What is this much below the loudest window is silence. The margins keep what is softer still: an "f", a breath.
SILENCE_RATIO = 1 / 300
LEAD_S, TAIL_S = 0.04, 0.06
SENTENCE_PAUSE_S, CLAUSE_PAUSE_S = 0.25, 0.1


def trim(audio: Samples, phonemes: str, *, sample_rate_hz: int, speed: float) -> Samples:
    """Cut the silence off, but for a little before the speech and the pause after it that its last mark asks for.

    Args:
        audio: What the model gave.
        phonemes: What it speaks.
        sample_rate_hz: Of the audio.
        speed: Speaking rate; a pause is shorter in fast speech.

    Returns:
        A part of the audio; all of it if none of it is louder than the rest.
    """
    width = round(WINDOW_S * sample_rate_hz)
    whole = audio[: audio.size // width * width].reshape(-1, width)
    level = np.sqrt(np.mean(whole**2, axis=1))
    loud = np.nonzero(level > SILENCE_RATIO * level.max(initial=0.0))[0]
    if not loud.size:
        return audio
    pause_s = TAIL_S + pause_after(phonemes, SENTENCE_PAUSE_S, CLAUSE_PAUSE_S) / speed
    start = max(int(loud[0]) * width - round(LEAD_S * sample_rate_hz), 0)
    end = (int(loud[-1]) + 1) * width + round(pause_s * sample_rate_hz)
    return audio[start:end]
