"""Partial transcripts of one session: one at a time, and of those that wait only the newest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_orchestrator.asr.base import Recognizer, Transcript
    from voiceplane_orchestrator.turns.actions import RequestPartial
    from voiceplane_orchestrator.turns.events import Samples

_log = get_logger("asr")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    request: RequestPartial
    samples: Samples
    language: str | None


class Partials:
    """Answers the requests of one turn machine."""

    def __init__(self, *, recognizer: Recognizer, on_transcript: Callable[[RequestPartial, Transcript], None]) -> None:
        """Serve a session.

        Args:
            recognizer: Shared by all sessions.
            on_transcript: Called on the event loop with each transcript, in the order of the requests.
        """
        self._recognizer = recognizer
        self._on_transcript = on_transcript
        self._next: _Asked | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, request: RequestPartial, samples: Samples, *, language: str | None) -> None:
        """Recognize the audio of a request, instead of the one that waits if there is one."""
        self._next = _Asked(request=request, samples=samples, language=language)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="asr-partials")

    async def cancel(self) -> None:
        """Forget the requests: the turn has ended."""
        self._next = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while (asked := self._next) is not None:
            self._next = None
            try:
                transcript = await self._recognizer.transcribe(asked.samples, language=asked.language, partial=True)
            except VoiceplaneError as error:  # a partial can be missed: the turn's own transcript is still to come
                _log.warning("partial transcript failed", reason=error.reason)
            else:
                self._on_transcript(asked.request, transcript)
