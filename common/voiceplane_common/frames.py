"""The audio frame of the ABI: 20 ms of 48,000 Hz mono s16le PCM, 960 samples, 1,920 bytes."""

from __future__ import annotations

from typing import Final

SAMPLE_RATE_HZ: Final = 48_000
FRAME_MS: Final = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAME_BYTES = FRAME_SAMPLES * 2
FRAME_SECONDS = FRAME_MS / 1000
SILENCE = bytes(FRAME_BYTES)
