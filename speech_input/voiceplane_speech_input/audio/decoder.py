"""Decoding and resampling of a client's audio to the 16 kHz floats of speech input."""

from __future__ import annotations

import numpy as np
import soxr
from voiceplane_common.errors import invalid

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ, Samples

CLIENT_SAMPLE_RATES_HZ = (16_000, 24_000, 32_000, 44_100, 48_000)

_FULL_SCALE = np.float32(1 / 32768)


class UserAudioDecoder:
    """Decodes one client's stream of s16le mono PCM to 16 kHz floats."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        """Begin a stream.

        Args:
            sample_rate_hz: One of CLIENT_SAMPLE_RATES_HZ.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: another rate.
        """
        if sample_rate_hz not in CLIENT_SAMPLE_RATES_HZ:
            rates = ", ".join(str(rate) for rate in CLIENT_SAMPLE_RATES_HZ)
            raise invalid("sample_rate_hz", f"sample_rate_hz must be one of {rates}, not {sample_rate_hz}")
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate_hz != USER_SAMPLE_RATE_HZ:
            # soxr's higher qualities delay the audio by 20 ms on average and by up to 37, which would delay every
            # barge-in. LQ delays it by 11 and at most 20; its loss above 5 kHz does not affect recognition.
            self._resampler = soxr.ResampleStream(sample_rate_hz, USER_SAMPLE_RATE_HZ, 1, dtype="float32", quality="LQ")
        self._half_sample = b""

    def decode(self, pcm: bytes) -> Samples:
        """The 16 kHz samples that the next bytes complete; they may end in the middle of a sample."""
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        samples = np.frombuffer(pcm, "<i2", count=whole // 2).astype(np.float32) * _FULL_SCALE
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples)
        return resampled
