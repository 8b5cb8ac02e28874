"""Files on their way to recognition: what is decoded, what is refused, and where long audio is cut."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.asr.file_process import RawFormat, cut_at, decode_audio

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ = 16_000
HOUR_MS = 3_600_000
SECONDS = 2


def tone(rate_hz: int, *, channels: int = 1) -> NDArray[np.int16]:
    """Two seconds of 440 Hz, interleaved."""
    mono = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * rate_hz) / rate_hz)
    return np.repeat((mono * 32767).astype(np.int16), channels)


def file_of(container: str, codec: str, *, rate_hz: int, layout: str) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout)
        channels = 2 if layout == "stereo" else 1
        frame = av.AudioFrame.from_ndarray(tone(rate_hz, channels=channels)[np.newaxis], format="s16", layout=layout)
        frame.sample_rate = rate_hz
        output.mux(stream.encode(frame))  # type: ignore[union-attr, arg-type]  # an audio stream
        output.mux(stream.encode(None))  # type: ignore[union-attr]
    return data.getvalue()


def frequency(samples: NDArray[np.int16]) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE_HZ / samples.size)


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz", "layout"),
    [
        ("mp3", "libmp3lame", 44_100, "stereo"),
        ("mp4", "aac", 48_000, "stereo"),
        ("ogg", "libopus", 48_000, "mono"),
        ("webm", "libopus", 48_000, "stereo"),
        ("flac", "flac", 96_000, "mono"),
        ("wav", "pcm_s16le", 8_000, "mono"),
        ("wav", "pcm_mulaw", 8_000, "mono"),
        ("adts", "aac", 22_050, "mono"),
        ("aiff", "pcm_s16be", 44_100, "stereo"),
    ],
)
def test_a_file_becomes_16_khz_mono(container: str, codec: str, rate_hz: int, layout: str) -> None:
    data = file_of(container, codec, rate_hz=rate_hz, layout=layout)
    samples = decode_audio(data, raw=None, max_duration_ms=HOUR_MS)
    assert samples.dtype == np.int16
    assert samples.size == pytest.approx(SECONDS * RATE_HZ, rel=0.05)
    assert frequency(samples) == pytest.approx(440, abs=2)


def test_raw_audio_has_the_rate_and_channels_that_are_said() -> None:
    raw = RawFormat(encoding="pcm", sample_rate_hz=24_000, channels=2)
    samples = decode_audio(tone(24_000, channels=2).tobytes(), raw=raw, max_duration_ms=HOUR_MS)
    assert samples.size == pytest.approx(SECONDS * RATE_HZ, rel=0.01)
    assert frequency(samples) == pytest.approx(440, abs=2)


def test_a_file_that_is_cut_off_is_read_up_to_there() -> None:
    data = file_of("mp3", "libmp3lame", rate_hz=44_100, layout="mono")
    samples = decode_audio(data[: len(data) // 2], raw=None, max_duration_ms=HOUR_MS)
    assert samples.size == pytest.approx(SECONDS * RATE_HZ / 2, rel=0.1)


def refusal(data: bytes, *, max_duration_ms: int = HOUR_MS) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        decode_audio(data, raw=None, max_duration_ms=max_duration_ms)
    assert caught.value.field == "file"
    return caught.value


@pytest.mark.parametrize("data", [b"\0", b"hello", bytes(10_000), b"RIFF" + bytes(100), b"\xff" * 5000])
def test_what_is_no_audio_is_refused_with_a_remedy(data: bytes) -> None:
    error = refusal(data)
    assert error.reason == "UNREADABLE_AUDIO"
    assert "send" in error.message


def test_a_file_names_no_other_file(tmp_path: Path) -> None:
    """Playlists and scripts of FFmpeg's would open what is on this machine and in its network."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(file_of("wav", "pcm_s16le", rate_hz=RATE_HZ, layout="mono"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    script = f"ffconcat version 1.0\nfile {secret}\n"
    for text in (playlist, script):
        assert refusal(text.encode()).reason == "UNREADABLE_AUDIO"
    with contextlib.closing(av.open(io.BytesIO(script.encode()), "r", options={"safe": "0"})) as opened:
        assert opened.format.name == "concat", "the guard is needed: FFmpeg itself would read it"


def test_audio_that_is_too_long_is_refused() -> None:
    data = file_of("wav", "pcm_s16le", rate_hz=8_000, layout="mono")
    error = refusal(data, max_duration_ms=1000)
    assert error.reason == "AUDIO_TOO_LONG"
    assert "max_duration_ms" in error.message


def seconds(*spans: tuple[float, float]) -> list[tuple[int, int]]:
    return [(round(start * RATE_HZ), round(end * RATE_HZ)) for start, end in spans]


@pytest.mark.parametrize(
    ("speech", "cut_s"),
    [
        ([], 30.0),  # silence
        (seconds((1, 12), (13, 28)), 30.0),  # the last speech has ended
        (seconds((1, 12), (13, 20), (21, 30)), 20.5),  # the last one goes on: in the pause before it
        (seconds((0, 2), (3, 30)), 30.0),  # the only pause comes too early
        (seconds((0, 30)), 30.0),  # no pause
    ],
)
def test_long_audio_is_cut_in_its_last_pause(speech: list[tuple[int, int]], cut_s: float) -> None:
    assert cut_at(speech, 30 * RATE_HZ) == cut_s * RATE_HZ
