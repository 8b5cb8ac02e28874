"""Waiting for tasks: with a timeout on a Clock, and through cancellations of the waiting task."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_common.clock import Clock


class Signal:
    """Wakes all waiting tasks, which then check their condition again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake the waiting tasks: something has changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once the condition holds."""
        while not holds():
            await self._event.wait()


async def ends_within(task: asyncio.Task[Any], *, clock: Clock, seconds: float) -> bool:
    """Wait for a task with a timeout; returns whether it has ended. At the timeout, it continues to run."""
    timer = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return task.done()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, even if the caller is cancelled; its outcome is dropped."""
    task.cancel()
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


async def complete(task: asyncio.Future[Any]) -> bool:
    """Wait until a task has ended, even if the caller is cancelled.

    Returns:
        Whether the caller was cancelled meanwhile. If so, it must raise CancelledError after its clean-up.
    """
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
