"""The user's audio on its way to the ears: to 16 kHz floats, and kept for a while by sample number."""

from __future__ import annotations

import numpy as np
import soxr
from voiceplane_common.errors import invalid

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ, Samples

CLIENT_SAMPLE_RATES_HZ = (16_000, 24_000, 32_000, 44_100, 48_000)

_FULL_SCALE = np.float32(1 / 32768)


class UserAudioDecoder:
    """Turns one client's stream of s16le mono PCM into 16 kHz floats."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        """Start a stream.

        Args:
            sample_rate_hz: One of CLIENT_SAMPLE_RATES_HZ.

        Raises:
            VoiceplaneError: Another rate.
        """
        if sample_rate_hz not in CLIENT_SAMPLE_RATES_HZ:
            rates = ", ".join(str(rate) for rate in CLIENT_SAMPLE_RATES_HZ)
            raise invalid("sample_rate_hz", f"sample_rate_hz must be one of {rates}, not {sample_rate_hz}")
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate_hz != USER_SAMPLE_RATE_HZ:
            # soxr's higher qualities hold back 20 ms on average and up to 37, which would delay every barge-in; this
            # one holds back 11 and at most 20, and what it costs above 5 kHz recognition does not notice.
            self._resampler = soxr.ResampleStream(sample_rate_hz, USER_SAMPLE_RATE_HZ, 1, dtype="float32", quality="LQ")
        self._half_sample = b""

    def decode(self, pcm: bytes) -> Samples:
        """The 16 kHz samples that this piece completes; a piece may end in the middle of a sample."""
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        samples = np.frombuffer(pcm, "<i2", count=whole // 2).astype(np.float32) * _FULL_SCALE
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples)
        return resampled
