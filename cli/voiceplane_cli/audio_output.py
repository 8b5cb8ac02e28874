"""Audio output of this machine: PortAudio if it is installed, else a player program."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import Any, Protocol

from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.output import CliError

MISSING = (
    "no audio output found: write a file with -o out.wav, or install the extra: pip install 'voiceplane[audio]'"
    " (and sudo apt-get install -y libportaudio2)"
)
PLAYERS = {
    "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", str(SAMPLE_RATE_HZ), "-"),
    "paplay": ("--raw", "--format=s16le", "--channels=1", f"--rate={SAMPLE_RATE_HZ}"),
}


class Sink(Protocol):
    """Where speech goes: mono s16le at 48 kHz."""

    async def write(self, pcm: bytes) -> None:
        """Take more; waits while the sink is full."""

    async def close(self) -> None:
        """Wait until all has been played or written."""


def load_sounddevice() -> Any:
    """The sounddevice module, or None: it, or the PortAudio library, is not installed."""
    try:
        import sounddevice  # noqa: PLC0415  # an extra: looked for when sound is wanted
    except (ImportError, OSError):
        return None
    return sounddevice


class PortAudioSink:
    """Plays through sounddevice."""

    def __init__(self, sounddevice: Any) -> None:
        try:
            self._stream = sounddevice.RawOutputStream(samplerate=SAMPLE_RATE_HZ, channels=1, dtype="int16")
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise CliError(f"no sound device can be opened ({error}): write a file with -o out.wav") from None

    async def write(self, pcm: bytes) -> None:
        """Take more."""
        await asyncio.to_thread(self._stream.write, pcm)

    async def close(self) -> None:
        """Play to the end."""
        await asyncio.to_thread(self._stream.stop)
        self._stream.close()


class PlayerSink:
    """Plays through a program that reads PCM from its standard input."""

    def __init__(self, process: asyncio.subprocess.Process, *, name: str) -> None:
        assert process.stdin is not None, "the player needs a pipe"  # noqa: S101
        self._process = process
        self._pipe = process.stdin
        self._name = name

    async def write(self, pcm: bytes) -> None:
        """Take more."""
        self._pipe.write(pcm)
        try:
            await self._pipe.drain()
        except ConnectionError:
            raise CliError(f"{self._name} ended (no sound device?): write a file with -o out.wav") from None

    async def close(self) -> None:
        """Play to the end."""
        self._pipe.close()
        with contextlib.suppress(ConnectionError):
            await self._pipe.wait_closed()
        if await self._process.wait():
            raise CliError(f"{self._name} failed (no sound device?): write a file with -o out.wav")


async def open_audio_output() -> Sink:
    """Open the best available audio output.

    Raises:
        CliError: There is none; says how to get one.
    """
    sounddevice = load_sounddevice()
    if sounddevice is not None:
        return PortAudioSink(sounddevice)
    for name, flags in PLAYERS.items():
        program = shutil.which(name)
        if program:
            process = await asyncio.create_subprocess_exec(program, *flags, stdin=asyncio.subprocess.PIPE)
            return PlayerSink(process, name=name)
    raise CliError(MISSING)
