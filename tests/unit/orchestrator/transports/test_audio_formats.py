"""Speech files: each format is playable, has the rate that was asked for, and grows with the speech."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from voiceplane_orchestrator.transports.http.audio_formats import FORMATS, AudioEncoder, wav_header

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from voiceplane_orchestrator.transports.http.audio_formats import FormatName

SECONDS = 3
FRAME = 960
RAW = {"wav": "s16le", "pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw"}


def speech() -> NDArray[np.int16]:
    times = np.arange(SECONDS * 48_000) / 48_000
    return (np.sin(2 * np.pi * 440 * times) * 8000).astype("<i2")


def encoded(name: FormatName, *, rate_hz: int, channels: int = 1) -> tuple[bytes, int]:
    """A file, and after how many frames of 20 ms its first bytes came."""
    encoder = AudioEncoder(FORMATS[name], sample_rate_hz=rate_hz, channels=channels)
    samples, file, first = speech(), b"", 0
    for start in range(0, samples.size, FRAME):
        file += encoder.encode(samples[start : start + FRAME].tobytes())
        first = first or (start // FRAME + 1 if file else 0)
    return file + encoder.finish(), first


def decoded(file: bytes, name: FormatName, *, rate_hz: int, channels: int) -> tuple[str, int, int, NDArray[np.float64]]:
    """The codec, the rate, the channels, and the samples of one channel, as FFmpeg reads them."""
    raw = RAW.get(name)
    layout = "mono" if channels == 1 else "stereo"
    options = {"sample_rate": str(rate_hz), "ch_layout": layout} if raw else {}
    with av.open(io.BytesIO(file), "r", format=raw, options=options) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
        frames = [*container.decode(stream)]
        parts = [each.to_ndarray()[0] for frame in [*frames, None] for each in resampler.resample(frame)]
        context = stream.codec_context
        return context.name, context.sample_rate, context.channels, np.concatenate(parts).astype(float)


CODECS: dict[FormatName, str] = {
    "mp3": "mp3float",
    "opus": "opus",
    "aac": "aac",
    "flac": "flac",
    "wav": "pcm_s16le",
    "pcm": "pcm_s16le",
    "mulaw": "pcm_mulaw",
    "alaw": "pcm_alaw",
}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_has_the_format_the_length_and_the_sound(name: FormatName, channels: int) -> None:
    rate_hz = FORMATS[name].sample_rate_hz
    file, first = encoded(name, rate_hz=rate_hz, channels=channels)
    codec, decoded_hz, decoded_channels, samples = decoded(file, name, rate_hz=rate_hz, channels=channels)
    assert (codec, decoded_hz, decoded_channels) == (CODECS[name], rate_hz, channels)
    assert samples.size / rate_hz == pytest.approx(SECONDS, rel=0.03)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / samples.size == pytest.approx(440, abs=2)
    assert first <= (5 if name == "flac" else 4), "the first packet comes within 80 ms of speech (flac: 100)"


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_spoken_is_in_the_file_within_150_ms(name: FormatName) -> None:
    audio_format = FORMATS[name]
    encoder = AudioEncoder(audio_format, sample_rate_hz=audio_format.sample_rate_hz, channels=1)
    half = speech()[: SECONDS * 24_000]
    file = b"".join(encoder.encode(half[start : start + FRAME].tobytes()) for start in range(0, half.size, FRAME))
    encoder.finish()
    rate_hz = audio_format.sample_rate_hz
    *_, samples = decoded(file, name, rate_hz=rate_hz, channels=1)
    assert samples.size / rate_hz >= SECONDS / 2 - 0.15


@pytest.mark.parametrize(
    ("name", "rate_hz"), [(name, rate) for name, format_ in FORMATS.items() for rate in format_.sample_rates_hz]
)
def test_each_rate_of_a_format_can_be_made(name: FormatName, rate_hz: int) -> None:
    file, _ = encoded(name, rate_hz=rate_hz)
    _, decoded_hz, _, samples = decoded(file, name, rate_hz=rate_hz, channels=1)
    assert decoded_hz == (48_000 if name == "opus" else rate_hz), "opus decodes at 48 kHz"
    assert samples.size / decoded_hz == pytest.approx(SECONDS, rel=0.12)


def test_pcm_at_48_khz_is_the_speech_itself() -> None:
    assert encoded("pcm", rate_hz=48_000)[0] == speech().tobytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_header_tells_format_and_length(channels: int) -> None:
    data, _ = encoded("wav", rate_hz=24_000, channels=channels)
    header = wav_header(sample_rate_hz=24_000, channels=channels, data_bytes=len(data))
    with wave.open(io.BytesIO(header + data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, channels, 2)
        assert file.getnframes() == SECONDS * 24_000
