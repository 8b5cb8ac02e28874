"""The formats of speech files, and their encoders: FFmpeg's, through PyAV (https://pyav.org)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import av
import numpy as np
from voiceplane_common.errors import invalid
from voiceplane_common.frames import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Mapping

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "mulaw", "alaw"]
MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 8_000, 48_000
WAV_UNKNOWN_BYTES = 0xFFFF_FFFF
"""The size in the header of a WAV file whose end is not known yet; players read until the end."""

_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """A format of speech files.

    Attributes:
        content_type: Of the HTTP response.
        container: FFmpeg's name of the muxer.
        codec: FFmpeg's name of the encoder.
        sample_rate_hz: What a file has unless the request says otherwise. A file without a header has the rate that
            clients of OpenAI expect (24 kHz), or telephones (8 kHz).
        sample_rates_hz: The possible rates; empty: all from 8,000 to 48,000.
        bit_rate: Bits per second and channel; 0 for formats without a choice.
        options: Of the muxer.
    """

    content_type: str
    container: str
    codec: str
    sample_rate_hz: int = SAMPLE_RATE_HZ
    sample_rates_hz: tuple[int, ...] = ()
    bit_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def check_sample_rate(self, sample_rate_hz: int) -> None:
        """Check a requested rate.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT.
        """
        if self.sample_rates_hz:
            if sample_rate_hz not in self.sample_rates_hz:
                rates = ", ".join(str(rate) for rate in self.sample_rates_hz)
                raise invalid("sample_rate", f"sample_rate of this format must be one of {rates}, not {sample_rate_hz}")
        elif not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise invalid(
                "sample_rate",
                f"sample_rate must be from {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ}, not {sample_rate_hz}",
            )


FORMATS: dict[FormatName, AudioFormat] = {
    "mp3": AudioFormat(
        content_type="audio/mpeg",
        container="mp3",
        codec="libmp3lame",
        sample_rates_hz=_MPEG_RATES_HZ,
        bit_rate=96_000,
        # Both would have to be written again at the end, which a stream can't.
        options={"write_xing": "0", "id3v2_version": "0"},
    ),
    "opus": AudioFormat(
        content_type="audio/ogg",
        container="ogg",
        codec="libopus",
        sample_rates_hz=(8_000, 12_000, 16_000, 24_000, 48_000),
        bit_rate=64_000,
        options={"page_duration": "60000"},  # in microseconds; a page is a whole second otherwise
    ),
    "aac": AudioFormat(
        content_type="audio/aac", container="adts", codec="aac", sample_rates_hz=_MPEG_RATES_HZ, bit_rate=96_000
    ),
    "flac": AudioFormat(content_type="audio/flac", container="flac", codec="flac"),
    "wav": AudioFormat(content_type="audio/wav", container="s16le", codec="pcm_s16le"),
    "pcm": AudioFormat(content_type="audio/pcm", container="s16le", codec="pcm_s16le", sample_rate_hz=24_000),
    "mulaw": AudioFormat(
        content_type="audio/PCMU", container="mulaw", codec="pcm_mulaw", sample_rate_hz=8_000, sample_rates_hz=(8_000,)
    ),
    "alaw": AudioFormat(
        content_type="audio/PCMA", container="alaw", codec="pcm_alaw", sample_rate_hz=8_000, sample_rates_hz=(8_000,)
    ),
}


class AudioEncoder:
    """Encodes one file as its speech arrives. Its methods block: call them on a thread, one at a time."""

    def __init__(self, audio_format: AudioFormat, *, sample_rate_hz: int, channels: int) -> None:
        """Begin a file.

        Args:
            audio_format: One of FORMATS.
            sample_rate_hz: Of the file; one that the format has.
            channels: 1 or 2; both have the same audio.
        """
        self._written = bytearray()
        self._samples = 0
        options = {"flush_packets": "1", **audio_format.options}
        self._container = av.open(_Sink(self._written), "w", format=audio_format.container, options=options)
        layout = "mono" if channels == 1 else "stereo"
        stream = self._container.add_stream(audio_format.codec, rate=sample_rate_hz, layout=layout)
        self._stream = cast("av.AudioStream", stream)
        if audio_format.bit_rate:
            self._stream.bit_rate = audio_format.bit_rate * channels

    def encode(self, pcm: bytes) -> bytes:
        """The bytes of the file that are complete after these samples: s16le, mono, 48,000 Hz."""
        samples = np.frombuffer(pcm, "<i2")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._samples
        self._samples += samples.size
        self._container.mux(self._stream.encode(frame))
        return self._take()

    def finish(self) -> bytes:
        """The rest of the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._take()

    def _take(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


class _Sink:
    """A file that FFmpeg can't seek in."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)


def wav_header(*, sample_rate_hz: int, channels: int, data_bytes: int = WAV_UNKNOWN_BYTES) -> bytes:
    """The 44 bytes before s16le PCM (RIFF, WAVE_FORMAT_PCM)."""
    width = 2 * channels
    riff_bytes = min(data_bytes + 36, WAV_UNKNOWN_BYTES)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, 1, channels, sample_rate_hz,
        sample_rate_hz * width, width, 16, b"data", data_bytes,
    )  # fmt: skip
