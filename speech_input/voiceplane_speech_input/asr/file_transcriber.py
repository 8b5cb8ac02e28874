"""Recognition of files, apart from conversations: in one process of its own, with limits, window by window.

Several files take turns at the windows, so a short one does not wait for the end of a long one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from voiceplane_common.errors import VoiceplaneError, exhausted, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_speech_input.asr import file_process
from voiceplane_speech_input.asr.file_process import FileRequest, TranscriptSegment, WhisperOptions
from voiceplane_speech_input.asr.whisper import choose_device, find_model
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from voiceplane_speech_input.asr.file_process import Pcm, RawFormat
    from voiceplane_speech_input.asr.settings import AsrSection, TranscriptionSection

R = TypeVar("R")

END_GRACE_S = 1.0
"""A process without work ends sooner than this."""

_log = get_logger("transcription")


@dataclass(slots=True, kw_only=True)
class FileTranscript:
    """A file that is being recognized.

    Attributes:
        duration_s: Length of the audio.
        language: As requested, or as detected in the first segment; empty until then.
    """

    duration_s: float
    language: str = ""


class FileRecognizer(Protocol):
    """Recognizes files. Its methods run on the event loop and never block it."""

    def admit(self) -> contextlib.AbstractContextManager[None]:
        """Reserve a place for one file.

        Raises:
            VoiceplaneError: ASR_OVERLOADED: too many files are open.
        """
        ...

    async def decode(self, data: bytes, *, raw: RawFormat | None) -> Pcm:
        """Decode an upload.

        Raises:
            VoiceplaneError: UNREADABLE_AUDIO, AUDIO_TOO_LONG, or the process failed.
        """
        ...

    def segments(
        self, samples: Pcm, request: FileRequest, transcript: FileTranscript
    ) -> AsyncGenerator[TranscriptSegment]:
        """Recognize a file; yields its segments as they are recognized, and updates the transcript.

        Raises:
            VoiceplaneError: The language is unknown, or the process failed.
        """
        ...

    async def aclose(self) -> None:
        """End the process."""
        ...


class FileTranscriber:
    """A FileRecognizer with Whisper. The process starts with the first file, and ends when none came for a while."""

    def __init__(self, asr: AsrSection, settings: TranscriptionSection) -> None:
        self._asr = asr
        self._settings = settings
        self._files = 0
        self._pool: ProcessPoolExecutor | None = None
        self._options: WhisperOptions | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """See FileRecognizer."""
        limit = self._settings.max_files
        if self._files >= limit:
            message = f"{limit} files are being recognized already (transcription.max_files): try again later"
            raise exhausted("ASR_OVERLOADED", message, retry_after_ms=2000)
        self._files += 1
        if self._idle is not None:
            self._idle.cancel()
        try:
            yield
        finally:
            self._files -= 1
            if not self._files:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._settings.idle_timeout_ms / 1000, self._end_idle)

    async def decode(self, data: bytes, *, raw: RawFormat | None) -> Pcm:
        """See FileRecognizer."""
        return await self._run(
            functools.partial(file_process.decode_audio, data, raw=raw, max_duration_ms=self._settings.max_duration_ms)
        )

    async def segments(
        self, samples: Pcm, request: FileRequest, transcript: FileTranscript
    ) -> AsyncGenerator[TranscriptSegment]:
        """See FileRecognizer."""
        options = await self._whisper()
        position, window = 0, file_process.WINDOW_S * USER_SAMPLE_RATE_HZ
        while position < samples.size:
            part = samples[position : position + window]
            result = await self._run(
                functools.partial(
                    file_process.recognize_window,
                    part,
                    position / USER_SAMPLE_RATE_HZ,
                    last=position + window >= samples.size,
                    request=replace(request, language=request.language or transcript.language),
                    options=options,
                )
            )
            transcript.language = transcript.language or result.language
            position += result.samples
            for segment in result.segments:
                yield segment

    async def aclose(self) -> None:
        """See FileRecognizer."""
        if self._idle is not None:
            self._idle.cancel()
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(_end, pool, grace_s=END_GRACE_S)

    async def _whisper(self) -> WhisperOptions:
        if self._options is None:
            asr = self._asr
            folder = await asyncio.to_thread(find_model, asr.model)
            device = await asyncio.to_thread(choose_device, asr)
            self._options = WhisperOptions(
                folder=str(folder),
                device=replace(device, workers=1),
                may_fall_back=asr.device == "auto",
                cpu_threads=self._settings.cpu_threads or max(1, min(4, (os.cpu_count() or 1) // 2)),
                beam_size=asr.beam_size,
                voice_threshold=asr.voice_threshold,
                no_speech_max=asr.no_speech_max,
                avg_logprob_min=asr.avg_logprob_min,
                compression_ratio_max=asr.compression_ratio_max,
            )
        return self._options

    async def _run(self, function: Callable[[], R]) -> R:
        """Run a function in the process.

        Raises:
            VoiceplaneError: Its own errors. ASR_FAILED, ASR_TIMEOUT: the process was ended; the next call starts one.
        """
        async with self._starting:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=file_process.initialize)
            pool = self._pool
        waiting = self._files * self._settings.step_timeout_ms / 1000  # the files take turns
        try:
            async with asyncio.timeout(max(waiting, self._settings.step_timeout_ms / 1000)):
                return await asyncio.get_running_loop().run_in_executor(pool, function)
        except TimeoutError:
            self._end_process(pool)
            message = (
                f"the file made no progress within transcription.step_timeout_ms, {self._settings.step_timeout_ms}: "
                "the machine is overloaded, or the file is broken"
            )
            raise unavailable("ASR_TIMEOUT", message, retry_after_ms=1000) from None
        except BrokenProcessPool:
            self._end_process(pool)
            message = "the process that recognizes files has ended: the file may be broken; try again"
            raise unavailable("ASR_FAILED", message, retry_after_ms=1000) from None
        except VoiceplaneError:
            raise
        except Exception as error:
            _log.error("file recognition failed", exc_info=error)
            raise unavailable("ASR_FAILED", f"speech recognition failed: {type(error).__name__}") from error

    def _end_idle(self) -> None:
        """Let the process end, which has nothing to do."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _end_process(self, pool: ProcessPoolExecutor) -> None:
        """End a process at once; calls that are under way fail."""
        if self._pool is pool:
            self._pool = None
        _end(pool, grace_s=0.0)


def _end(pool: ProcessPoolExecutor, *, grace_s: float) -> None:
    """End the processes of a pool: by themselves within a time, then by a signal, since a call may take minutes.

    A process that is killed leaves semaphores of its libraries behind, which Python reports at its own end.
    """
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        if grace_s:
            process.join(grace_s)
        if process.is_alive():
            process.kill()
