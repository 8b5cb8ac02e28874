"""Recognition during a turn: partial transcripts while the user speaks, and a complete one at each pause.

A pause may be the end of the turn, and recognition takes longer than the silence that confirms it. So recognition of
the whole turn starts at each pause. If the pause was the end, its transcript is that of the turn.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_speech_input.asr.recognizer import RecognitionResult, Recognizer
    from voiceplane_speech_input.audio.format import Samples
    from voiceplane_speech_input.turns.actions import EndTurn, RequestPartial

_log = get_logger("asr")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    request: RequestPartial
    samples: Samples
    language: str | None


class PartialRecognizer:
    """Answers the requests of one turn machine.

    It runs one partial recognition at a time, and keeps only the newest waiting request. After each, it waits for as
    long as the recognition took, so that a slow machine is free when the turn ends.
    """

    def __init__(
        self, *, recognizer: Recognizer, on_transcript: Callable[[RequestPartial, RecognitionResult], None]
    ) -> None:
        """Serve a session.

        Args:
            recognizer: Shared by all sessions.
            on_transcript: Called on the event loop with each transcript. One that covers less audio than the one
                before is dropped.
        """
        self._recognizer = recognizer
        self._on_transcript = on_transcript
        self._next: _Pending | None = None
        self._task: asyncio.Task[None] | None = None
        self._complete: tuple[RequestPartial, asyncio.Task[RecognitionResult]] | None = None
        self._reported: RequestPartial | None = None

    def ask(self, request: RequestPartial, samples: Samples, *, language: str | None) -> None:
        """Recognize the audio of a request; it replaces a waiting one."""
        if request.complete:
            self._next = None
            self._ask_for_complete(request, samples, language)
            return
        self._next = _Pending(request=request, samples=samples, language=language)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="asr-partials")

    async def end(self, turn: EndTurn) -> asyncio.Task[RecognitionResult] | None:
        """Drop the requests. A running recognition of exactly this turn is returned; the caller owns it from now on."""
        running, self._complete = self._complete, None
        await self.cancel()
        if running is None:
            return None
        request, task = running
        if (request.turn_id, request.onset_sample, request.end_sample) == (
            turn.turn_id,
            turn.onset_sample,
            turn.end_sample,
        ):
            return task
        task.cancel()
        return None

    async def cancel(self) -> None:
        """Drop the requests: the turn has ended."""
        self._next = None
        tasks = [*([self._task] if self._task else []), *([self._complete[1]] if self._complete else [])]
        self._task = self._complete = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask_for_complete(self, request: RequestPartial, samples: Samples, language: str | None) -> None:
        if self._complete:
            self._complete[1].cancel()
        task = asyncio.create_task(self._recognizer.transcribe(samples, language=language), name="asr-complete")
        self._complete = (request, task)
        task.add_done_callback(functools.partial(self._complete_done, request))

    def _complete_done(self, request: RequestPartial, task: asyncio.Task[RecognitionResult]) -> None:
        error = None if task.cancelled() else task.exception()  # retrieved, or asyncio logs it as never retrieved
        if task.cancelled() or self._complete is None or self._complete[1] is not task:
            return
        if error:  # the turn's own recognition follows
            self._complete = None
            _log.warning("partial transcript failed", error=type(error).__name__)
        else:
            self._report(request, task.result())

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while (pending := self._next) is not None:
            self._next = None
            began_s = clock()
            try:
                transcript = await self._recognizer.transcribe(pending.samples, language=pending.language, partial=True)
            except VoiceplaneError as error:  # a partial may be lost: the turn's own recognition follows
                _log.warning("partial transcript failed", reason=error.reason)
            else:
                self._report(pending.request, transcript)
            await asyncio.sleep(clock() - began_s)

    def _report(self, request: RequestPartial, transcript: RecognitionResult) -> None:
        reported = self._reported
        if reported and reported.turn_id == request.turn_id and reported.end_sample > request.end_sample:
            return
        self._reported = request
        self._on_transcript(request, transcript)
