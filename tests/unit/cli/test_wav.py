from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.wav import HEADER_BYTES, WavWriter, read_speech

if TYPE_CHECKING:
    from pathlib import Path


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise AssertionError("a pipe cannot seek")


@given(st.lists(st.binary(max_size=40).map(lambda data: data[: len(data) // 2 * 2]), max_size=8))
def test_a_file_holds_exactly_what_was_written(chunks: list[bytes]) -> None:
    file = io.BytesIO()
    with WavWriter(file) as writer:
        for chunk in chunks:
            writer.write(chunk)
    with wave.open(io.BytesIO(file.getvalue())) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (1, 2, 48_000)
        assert read.readframes(read.getnframes()) == b"".join(chunks)


def test_a_pipe_gets_a_header_of_unknown_length_and_each_chunk_at_once() -> None:
    pipe = Pipe()
    writer = WavWriter(pipe)
    writer.write(b"\1\2")
    assert pipe.getvalue()[HEADER_BYTES:] == b"\1\2"
    assert pipe.getvalue()[40:44] == b"\xff" * 4
    writer.close()
    assert pipe.getvalue()[40:44] == b"\xff" * 4


def write_tone(path: Path, *, rate_hz: int, channels: int = 1, hz: float = 440.0) -> None:
    samples = (8000 * np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(samples, channels).tobytes())


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (22_050, 1), (44_100, 2), (8_000, 1)])
def test_a_recording_keeps_its_pitch_and_level_at_another_rate(tmp_path: Path, rate_hz: int, channels: int) -> None:
    write_tone(tmp_path / "tone.wav", rate_hz=rate_hz, channels=channels)
    samples = np.frombuffer(read_speech(tmp_path / "tone.wav", sample_rate_hz=16_000), "<i2").astype(float)
    assert len(samples) == 16_000
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 440
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.01)


def test_a_file_that_is_no_wav_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"hello")
    with pytest.raises(CliError, match="ffmpeg -i") as caught:
        read_speech(tmp_path / "x.wav", sample_rate_hz=16_000)
    assert caught.value.code is ExitCode.USAGE


def test_a_missing_file_and_an_empty_one_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="No such file"):
        read_speech(tmp_path / "none.wav", sample_rate_hz=16_000)
    with (tmp_path / "empty.wav").open("wb") as file:
        WavWriter(file).close()
    with pytest.raises(CliError, match="holds no audio"):
        read_speech(tmp_path / "empty.wav", sample_rate_hz=16_000)
