"""Transcripts of a turn that is not over: partial ones while it lasts, and one of all of it at each pause.

A pause may be the turn's end, and recognition takes longer than the silence that proves it. So what was said up to a
pause is recognized at once as a turn is, and if it was all of the turn, that transcript is the turn's.
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
class _Asked:
    request: RequestPartial
    samples: Samples
    language: str | None


class PartialRecognizer:
    """Answers the requests of one turn machine.

    Partial transcripts are made one at a time, and of those that wait only the newest. After each, as much time passes
    as it took: a slow machine has to be free when the turn ends.
    """

    def __init__(
        self, *, recognizer: Recognizer, on_transcript: Callable[[RequestPartial, RecognitionResult], None]
    ) -> None:
        """Serve a session.

        Args:
            recognizer: Shared by all sessions.
            on_transcript: Called on the event loop with each transcript; one that has heard less than the one before
                is not told.
        """
        self._recognizer = recognizer
        self._on_transcript = on_transcript
        self._next: _Asked | None = None
        self._task: asyncio.Task[None] | None = None
        self._complete: tuple[RequestPartial, asyncio.Task[RecognitionResult]] | None = None
        self._told: RequestPartial | None = None

    def ask(self, request: RequestPartial, samples: Samples, *, language: str | None) -> None:
        """Recognize the audio of a request, instead of the one that waits if there is one."""
        if request.complete:
            self._next = None
            self._ask_for_complete(request, samples, language)
            return
        self._next = _Asked(request=request, samples=samples, language=language)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="asr-partials")

    async def end(self, turn: EndTurn) -> asyncio.Task[RecognitionResult] | None:
        """Forget the requests, but for a recognition of just this turn: that is the caller's from now on."""
        under_way, self._complete = self._complete, None
        await self.cancel()
        if under_way is None:
            return None
        request, task = under_way
        if (request.turn_id, request.onset_sample, request.end_sample) == (
            turn.turn_id,
            turn.onset_sample,
            turn.end_sample,
        ):
            return task
        task.cancel()
        return None

    async def cancel(self) -> None:
        """Forget the requests: the turn has ended."""
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
        error = None if task.cancelled() else task.exception()  # asked for, or the event loop complains
        if task.cancelled() or self._complete is None or self._complete[1] is not task:
            return
        if error:  # the turn's own transcript is still to come
            self._complete = None
            _log.warning("partial transcript failed", error=type(error).__name__)
        else:
            self._tell(request, task.result())

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while (asked := self._next) is not None:
            self._next = None
            began_s = clock()
            try:
                transcript = await self._recognizer.transcribe(asked.samples, language=asked.language, partial=True)
            except VoiceplaneError as error:  # a partial can be missed: the turn's own transcript is still to come
                _log.warning("partial transcript failed", reason=error.reason)
            else:
                self._tell(asked.request, transcript)
            await asyncio.sleep(clock() - began_s)

    def _tell(self, request: RequestPartial, transcript: RecognitionResult) -> None:
        told = self._told
        if told and told.turn_id == request.turn_id and told.end_sample > request.end_sample:
            return
        self._told = request
        self._on_transcript(request, transcript)
