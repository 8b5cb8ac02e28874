"""WAV files: written while the audio arrives, and read whole as a microphone's PCM."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt
from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.output import CliError, ExitCode

HEADER_BYTES = 44
UNKNOWN_BYTES = 0xFFFF_FFFF
"""The size of a stream whose end is not known yet; players read until its end."""


def header(*, data_bytes: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """The 44 bytes before mono s16le PCM (RIFF, WAVE_FORMAT_PCM).

    Args:
        data_bytes: Of PCM; more than fits means a stream of unknown length.
        sample_rate_hz: Samples in a second.
    """
    data = min(data_bytes, UNKNOWN_BYTES)
    riff = min(data + HEADER_BYTES - 8, UNKNOWN_BYTES)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16,
        b"data", data,
    )  # fmt: skip


class WavWriter:
    """Writes mono s16le PCM as it comes. What has been written is a playable file at any moment.

    A file that can seek gets its true length at the end; a pipe keeps the length "unknown".
    """

    def __init__(self, file: BinaryIO, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """Write the header.

        Args:
            file: Open for binary writing; close() leaves it open.
            sample_rate_hz: Of the PCM.
        """
        self._file = file
        self._rate_hz = sample_rate_hz
        self._data_bytes = 0
        self._seekable = file.seekable()
        self._start = file.tell() if self._seekable else 0
        file.write(header(data_bytes=UNKNOWN_BYTES, sample_rate_hz=sample_rate_hz))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, pcm: bytes) -> None:
        """Append whole samples, and hand them on at once."""
        self._file.write(pcm)
        self._file.flush()
        self._data_bytes += len(pcm)

    def close(self) -> None:
        """Write the true length if the file can seek."""
        if self._seekable:
            self._file.seek(self._start)
            self._file.write(header(data_bytes=self._data_bytes, sample_rate_hz=self._rate_hz))
            self._file.seek(0, 2)
        self._file.flush()


def read_speech(path: Path, *, sample_rate_hz: int) -> bytes:
    """A recording as a microphone would give it: its channels mixed, at the rate asked for.

    Returns:
        Mono s16le PCM.

    Raises:
        CliError: It can't be read, or is no PCM WAV file of 16 bits.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise _unusable(path, f"{8 * file.getsampwidth()} bits")
            channels, rate_hz = file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}", code=ExitCode.USAGE) from None
    except (wave.Error, EOFError) as error:
        raise _unusable(path, str(error) or "it ends early") from None
    data = data[: len(data) // (2 * channels) * 2 * channels]
    samples = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1)
    if not len(samples):
        raise CliError(f"{path} holds no audio", code=ExitCode.USAGE)
    return resample(samples, rate_hz, sample_rate_hz).round().clip(-32768, 32767).astype("<i2").tobytes()


def resample(samples: npt.NDArray[np.float64], from_hz: int, to_hz: int) -> npt.NDArray[np.float64]:
    """Band-limited resampling of a whole recording through its spectrum.

    Good for speech that is only listened to by a recognizer; the worker's audio never goes through this.
    """
    if from_hz == to_hz:
        return samples
    count = max(1, round(len(samples) * to_hz / from_hz))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, dtype=np.complex128)
    bins = min(len(kept), len(spectrum))
    kept[:bins] = spectrum[:bins]
    result: npt.NDArray[np.float64] = np.fft.irfft(kept, count) * (count / len(samples))
    return result


def _unusable(path: Path, why: str) -> CliError:
    remedy = f"convert it: ffmpeg -i {path} -ac 1 -ar 16000 -sample_fmt s16 converted.wav"
    return CliError(f"{path} is no 16-bit PCM WAV file ({why}); {remedy}", code=ExitCode.USAGE)
