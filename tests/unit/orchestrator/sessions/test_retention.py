"""Audio is kept only when asked for, as WAV."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_orchestrator.sessions.retention import Retention
from voiceplane_orchestrator.settings import OrchestratorSettings

if TYPE_CHECKING:
    import pytest

PCM = bytes(range(200))


async def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    retention = Retention(None)
    await retention.save(session_id="s", name="user-1", pcm=PCM, sample_rate_hz=16_000)
    assert not retention.enabled
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # pathlib's is refused in coroutines
    assert not OrchestratorSettings().privacy.retain_audio


async def test_with_a_folder_each_turn_is_a_wav_file(tmp_path: Path) -> None:
    await Retention(tmp_path / "kept").save(session_id="s", name="user-1", pcm=PCM, sample_rate_hz=16_000)
    with wave.open(str(tmp_path / "kept" / "s-user-1.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(1000) == PCM


async def test_a_folder_that_cannot_be_written_does_not_end_the_conversation() -> None:
    await Retention(Path("/dev/null")).save(session_id="s", name="user-1", pcm=PCM, sample_rate_hz=16_000)
