"""Runs several tasks until the first of them ends, then cancels the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine


async def until_first(
    tasks: Collection[asyncio.Task[Any]], *, timeout_s: float | None = None
) -> set[asyncio.Task[Any]]:
    """Wait for the first of some tasks, then cancel the others and wait for them; likewise if this is cancelled.

    Args:
        tasks: At least one.
        timeout_s: Seconds to wait at most; None for no limit.

    Returns:
        Those that ended by themselves, with what they returned or raised; none after the timeout.
    """
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done


async def first_to_end(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Run all until one ends, then end the others; raises what that one raised."""
    for task in await until_first([asyncio.create_task(each) for each in coroutines]):
        task.result()
