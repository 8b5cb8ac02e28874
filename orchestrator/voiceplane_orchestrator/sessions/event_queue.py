"""The event queue of a conversation: events for the turn machine, and commands, in one order."""

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
    """An event or command, its time and, if it belongs to one, its epoch."""

    item: EventOrCommand
    at_s: float
    epoch: int | None = None


class EventQueue:
    """The queue of one conversation. Confined to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: asyncio.Queue[QueuedEvent] = asyncio.Queue()

    def put(self, item: EventOrCommand, *, at_s: float | None = None, epoch: int | None = None) -> None:
        """Queue an event or command; without at_s it happens now."""
        when_s = self._clock.now() if at_s is None else at_s
        self._queue.put_nowait(QueuedEvent(item=item, at_s=when_s, epoch=epoch))

    async def next(self, deadline_s: float | None) -> QueuedEvent:
        """The next event, or a Tick at the deadline."""
        waits_s = None if deadline_s is None else max(0.0, deadline_s - self._clock.now())
        if not self._queue.empty():  # events come before timers
            return self._queue.get_nowait()
        try:
            return await asyncio.wait_for(self._queue.get(), waits_s)
        except TimeoutError:
            return QueuedEvent(item=Tick(), at_s=self._clock.now())
