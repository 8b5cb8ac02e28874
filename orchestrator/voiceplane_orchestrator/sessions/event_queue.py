"""What happens to a conversation, in one order: events for its turn machine, and commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_speech_input.turns.events import Tick, TurnEvent

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

EventOrCommand = TurnEvent | Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEvent:
    """Something that has happened, when, and in which epoch if that matters."""

    item: EventOrCommand
    at_s: float
    epoch: int | None = None


class EventQueue:
    """Of one conversation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: asyncio.Queue[QueuedEvent] = asyncio.Queue()

    def put(self, item: EventOrCommand, *, at_s: float | None = None, epoch: int | None = None) -> None:
        """Something has happened; None for now."""
        when_s = self._clock.now() if at_s is None else at_s
        self._steps.put_nowait(QueuedEvent(item=item, at_s=when_s, epoch=epoch))

    async def next(self, deadline_s: float | None) -> QueuedEvent:
        """What has happened next, or a Tick at the deadline."""
        waits_s = None if deadline_s is None else max(0.0, deadline_s - self._clock.now())
        if not self._steps.empty():  # what has happened comes before what time it is
            return self._steps.get_nowait()
        try:
            return await asyncio.wait_for(self._steps.get(), waits_s)
        except TimeoutError:
            return QueuedEvent(item=Tick(), at_s=self._clock.now())
