"""The audio format of all speech input: 16 kHz mono floats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

USER_SAMPLE_RATE_HZ = 16_000
"""Sample rate of the input of VAD, turn-taking and ASR."""

Samples = NDArray[np.float32]
"""The user's audio: mono, 16,000 Hz, shape (n,), nominally within -1 to 1."""


def to_pcm(samples: Samples) -> bytes:
    """Encode samples as s16le PCM; values outside of -1 to 1 are clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
