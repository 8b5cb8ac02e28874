"""Loudness near -16 LUFS, without looking ahead and without clipping.

A gain is measured once, when a model is warmed up, and follows the voice slowly from there. Loudness is that of ITU-R
BS.1770-4: K-weighting, blocks of 400 ms each 100 ms, an absolute gate at -70 LUFS and a relative one at -10 LU.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import pyloudnorm
import scipy.signal
from voiceplane_common.frames import FRAME_MS, FRAME_SAMPLES

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples

TARGET_LUFS = -16.0
MAX_GAIN_DB = 30.0

# BS.1770-4, tables 1 and 2: the filters at 48 kHz, as second-order sections.
K_WEIGHTING = np.array(
    [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
)
LUFS_OFFSET = -0.691
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
BLOCK_FRAMES = 400 // FRAME_MS
HOP_FRAMES = 100 // FRAME_MS

# The warm-up's measurement weighs as much as this many blocks of the utterance; a few words don't move the gain much.
PRIOR_BLOCKS = 5
# Of the utterance, the last minute counts.
MAX_BLOCKS = 600
SLEW_DB_PER_FRAME = 3.0 * FRAME_MS / 1000
# The gain glides over a frame.
RAMP = np.linspace(0.0, 1.0, FRAME_SAMPLES, dtype=np.float32)
# Below the knee the limiter is linear, above it bends towards 1.
KNEE = 0.75


def calibrate(samples: Samples, sample_rate_hz: int) -> float:
    """The gain in dB that brings a recording of a voice to the target.

    Args:
        samples: Shape (n,); a second or more is wanted, and less than 400 ms is repeated.
        sample_rate_hz: Their rate.

    Returns:
        The gain, 0 for silence.
    """
    least = int(0.4 * sample_rate_hz) + 1
    if not len(samples):
        return 0.0
    if len(samples) < least:
        samples = np.tile(samples, math.ceil(least / len(samples)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of silence it warns, and answers -inf
        loudness = float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(samples.astype(np.float64)))
    if not math.isfinite(loudness) or loudness < ABSOLUTE_GATE_LUFS:
        return 0.0
    return max(-MAX_GAIN_DB, min(MAX_GAIN_DB, TARGET_LUFS - loudness))


class LoudnessNormalizer:
    """Brings one utterance to the target, frame by frame.

    Attributes:
        gain_db: The gain at the end of the last frame.
    """

    def __init__(self, *, gain_db: float) -> None:
        """Begin an utterance with the gain that was calibrated, or with which the one before has ended."""
        self.gain_db = gain_db
        self._prior = _energy(TARGET_LUFS - gain_db)
        self._state = np.zeros((len(K_WEIGHTING), 2))
        self._frames: deque[float] = deque(maxlen=BLOCK_FRAMES)
        self._blocks: deque[float] = deque(maxlen=MAX_BLOCKS)
        self._count = 0

    def process(self, frame: Samples) -> Samples:
        """Bring one frame to the target.

        Args:
            frame: 960 samples at 48 kHz, shape (960,).

        Returns:
            As many samples, within -1 to 1.
        """
        began, ended = _factor(self.gain_db), _factor(self._next_gain_db())
        gain = began + (ended - began) * RAMP
        self._listen(frame)
        return limit(frame * gain)

    def _next_gain_db(self) -> float:
        wanted = TARGET_LUFS - self._loudness()
        step = max(-SLEW_DB_PER_FRAME, min(SLEW_DB_PER_FRAME, wanted - self.gain_db))
        self.gain_db = max(-MAX_GAIN_DB, min(MAX_GAIN_DB, self.gain_db + step))
        return self.gain_db

    def _listen(self, frame: Samples) -> None:
        weighted, self._state = scipy.signal.sosfilt(K_WEIGHTING, frame, zi=self._state)
        self._frames.append(float(np.mean(np.square(weighted))))
        self._count += 1
        if len(self._frames) == BLOCK_FRAMES and self._count % HOP_FRAMES == 0:
            block = sum(self._frames) / BLOCK_FRAMES
            if block > _energy(ABSOLUTE_GATE_LUFS):
                self._blocks.append(block)

    def _loudness(self) -> float:
        """The gated loudness of the utterance so far, with the prior's weight."""
        blocks = np.fromiter(self._blocks, np.float64, len(self._blocks))
        if len(blocks):
            blocks = blocks[blocks > blocks.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
        energy = (self._prior * PRIOR_BLOCKS + float(blocks.sum())) / (PRIOR_BLOCKS + len(blocks))
        return LUFS_OFFSET + 10 * math.log10(energy)


def limit(samples: Samples) -> Samples:
    """Bend what is above the knee so that it stays below 1; the slope is continuous, and nothing is delayed."""
    loud = np.abs(samples)
    if loud.max(initial=0.0) <= KNEE:
        return samples
    bent = KNEE + (1 - KNEE) * np.tanh((loud - KNEE) / (1 - KNEE))
    limited: Samples = np.where(loud > KNEE, np.copysign(bent, samples), samples).astype(np.float32)
    return limited


def _factor(gain_db: float) -> float:
    factor: float = 10 ** (gain_db / 20)
    return factor


def _energy(lufs: float) -> float:
    energy: float = 10 ** ((lufs - LUFS_OFFSET) / 10)
    return energy
