"""The worker that an orchestrator runs itself: a real process, killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from voiceplane_client import WorkerClient
from voiceplane_orchestrator.discovery.embedded import EmbeddedDiscovery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MOCK = ("--adapter", "mock", "--default-model", "mock", "--log-level", "warning")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll: another process gives no notice."""
    while True:
        if await condition():
            return
        await asyncio.sleep(0.02)


async def until_serving(address: str) -> None:
    async with WorkerClient(address) as client:
        await until(client.healthy)


async def until_started(discovery: EmbeddedDiscovery, *, after: int | None = None) -> int:
    """The process id of a worker that is not the one before."""

    async def started() -> bool:
        return discovery.pid not in {None, after}

    await until(started)
    assert discovery.pid is not None
    return discovery.pid


@contextlib.asynccontextmanager
async def embedded(*flags: str) -> AsyncIterator[tuple[EmbeddedDiscovery, str]]:
    discovery = EmbeddedDiscovery(flags)
    try:
        async with asyncio.timeout(60):
            (address,) = await anext(aiter(discovery.watch()))
            yield discovery, address
    finally:
        await discovery.aclose()


async def test_its_address_serves_and_closing_leaves_neither_process_nor_folder() -> None:
    async with embedded(*MOCK) as (discovery, address):
        pid = await until_started(discovery)
        await until_serving(address)
    assert discovery.pid is None
    assert not psutil.pid_exists(pid)
    assert not Path(address.removeprefix("unix:")).parent.exists()


async def test_a_worker_that_is_killed_is_started_again_at_the_same_address() -> None:
    async with embedded(*MOCK) as (discovery, address):
        first = await until_started(discovery)
        await until_serving(address)
        os.kill(first, signal.SIGKILL)
        await until_started(discovery, after=first)
        await until_serving(address)


async def test_closing_ends_a_worker_that_cannot_start() -> None:
    async with embedded("--adapter", "no-such-family", "--default-model", "nothing") as (discovery, _):
        pid = await until_started(discovery)
    assert discovery.pid is None
    assert not psutil.pid_exists(pid)


async def test_only_this_user_can_reach_it() -> None:
    async with embedded(*MOCK) as (_, address):
        folder = Path(address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o077 == 0
