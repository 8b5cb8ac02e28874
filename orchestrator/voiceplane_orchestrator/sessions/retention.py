"""Retention of audio, if it is enabled: WAV files in a folder, written off the event loop."""

from __future__ import annotations

import asyncio
import wave
from typing import TYPE_CHECKING

from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from pathlib import Path

_log = get_logger("retention")


class Retention:
    """Writes recordings to a folder; without a folder it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def enabled(self) -> bool:
        """Whether audio is kept."""
        return self._folder is not None

    async def save(self, *, session_id: str, name: str, pcm: bytes, sample_rate_hz: int) -> None:
        """Write s16le mono PCM as SESSION-NAME.wav; a write error loses the recording, not the conversation."""
        if self._folder is None:
            return
        try:
            await asyncio.to_thread(_write, self._folder / f"{session_id}-{name}.wav", pcm, sample_rate_hz)
        except OSError as error:
            _log.error("cannot keep audio", session_id=session_id, error=error.strerror)


def _write(path: Path, pcm: bytes, sample_rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm)
