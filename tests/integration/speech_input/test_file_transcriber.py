"""The process that recognizes files: it starts when needed, is replaced when it dies, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.asr.file_process import NICENESS, FileRequest, RawFormat
from voiceplane_speech_input.asr.file_transcriber import FileTranscriber, FileTranscript
from voiceplane_speech_input.asr.settings import AsrSection, TranscriptionSection

from tests.support.speech import SENTENCES, silence, synthesize, word_error_rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RAW = RawFormat(encoding="pcm", sample_rate_hz=16_000)
SECOND = bytes(32_000)


@contextlib.asynccontextmanager
async def transcriber(**settings: Any) -> AsyncIterator[FileTranscriber]:
    made = FileTranscriber(AsrSection(), TranscriptionSection(**settings))
    async with asyncio.timeout(90):
        try:
            yield made
        finally:
            await made.aclose()


def process_of(files: FileTranscriber) -> psutil.Process:
    pool: Any = files._pool
    (pid,) = pool._processes
    return psutil.Process(pid)


async def ended(process: psutil.Process) -> None:
    await asyncio.to_thread(psutil.wait_procs, [process], timeout=20)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def decode(files: FileTranscriber) -> int:
    with files.admit():
        return (await files.decode(SECOND, raw=RAW)).size


async def test_the_process_has_a_low_priority_and_ends_with_the_transcriber() -> None:
    async with transcriber() as files:
        assert files._pool is None, "nothing runs before the first file"
        assert await decode(files) == 16_000
        process = process_of(files)
        assert process.nice() == psutil.Process().nice() + NICENESS
    await ended(process)


async def test_an_idle_process_ends_and_the_next_file_starts_another() -> None:
    async with transcriber(idle_timeout_ms=0) as files:
        with files.admit():
            await files.decode(SECOND, raw=RAW)
            process = process_of(files)
        await ended(process)
        assert await decode(files) == 16_000


async def test_a_process_that_dies_is_replaced() -> None:
    async with transcriber() as files:
        await decode(files)
        process = process_of(files)
        os.kill(process.pid, signal.SIGKILL)
        await ended(process)
        with contextlib.suppress(VoiceplaneError):  # the pool may notice only now
            await decode(files)
        assert await decode(files) == 16_000


async def test_a_step_that_takes_too_long_ends_the_process() -> None:
    async with transcriber(step_timeout_ms=1000) as files:
        with files.admit(), pytest.raises(VoiceplaneError) as caught:
            await files._run(sleep_for_a_minute)
        assert caught.value.reason == "ASR_TIMEOUT"
        assert "step_timeout_ms" in caught.value.message
        assert files._pool is None


def sleep_for_a_minute() -> None:
    time.sleep(60)


async def test_a_file_longer_than_a_window_is_understood_whole_and_in_order() -> None:
    said = [*SENTENCES, *SENTENCES[:3]]
    parts = [part for sentence in said for part in (synthesize(sentence), silence(0.7))]
    samples = (np.concatenate(parts) * 32767).astype(np.int16)
    async with transcriber(cpu_threads=2) as files:
        with files.admit():
            transcript = FileTranscript(duration_s=samples.size / 16_000)
            found = [each async for each in files.segments(samples, FileRequest(words=True), transcript)]
    assert transcript.duration_s > 45
    assert transcript.language == "en"
    assert word_error_rate([" ".join(said)], [" ".join(segment.text for segment in found)]) <= 0.15
    starts = [word.start_s for segment in found for word in segment.words]
    assert starts == sorted(starts)
    assert starts[-1] > transcript.duration_s - 5


async def test_silence_gives_no_words() -> None:
    async with transcriber() as files:
        with files.admit():
            quiet = np.zeros(16_000 * 40, np.int16)
            transcript = FileTranscript(duration_s=40.0)
            assert [each async for each in files.segments(quiet, FileRequest(), transcript)] == []


async def test_a_language_that_is_unknown_is_refused() -> None:
    samples = (synthesize(SENTENCES[0]) * 32767).astype(np.int16)
    async with transcriber() as files:
        with files.admit(), pytest.raises(VoiceplaneError) as caught:
            async for _ in files.segments(samples, FileRequest(language="tlh"), FileTranscript(duration_s=3.0)):
                pass
        assert caught.value.field == "language"
