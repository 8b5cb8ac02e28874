"""The first to end ends the others: by itself, by an error, by a timeout and when the waiting task is cancelled."""

from __future__ import annotations

import asyncio

import pytest
from voiceplane_common.tasks import first_to_end, until_first

from tests.support import virtual_time


class Others:
    """Things that would run forever, and need a moment to end."""

    def __init__(self) -> None:
        self.ended = 0

    async def go_on(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            self.ended += 1


async def answer() -> int:
    await asyncio.sleep(1.0)
    return 42


async def fail() -> None:
    await asyncio.sleep(1.0)
    raise ConnectionResetError("gone")


def test_the_first_is_returned_and_the_others_have_ended() -> None:
    async def scenario() -> None:
        others = Others()
        tasks = [asyncio.create_task(each) for each in (others.go_on(), answer(), others.go_on())]
        done = await until_first(tasks)
        assert done == {tasks[1]}
        assert tasks[1].result() == 42
        assert others.ended == 2

    virtual_time.run(scenario())


def test_after_the_timeout_all_have_ended() -> None:
    async def scenario() -> None:
        others = Others()
        started = asyncio.get_running_loop().time()
        assert await until_first([asyncio.create_task(others.go_on())], timeout_s=2.0) == set()
        assert others.ended == 1
        assert asyncio.get_running_loop().time() - started == pytest.approx(2.1)

    virtual_time.run(scenario())


def test_what_the_first_raised_is_raised() -> None:
    async def scenario() -> None:
        others = Others()
        with pytest.raises(ConnectionResetError, match="gone"):
            await first_to_end(others.go_on(), fail())
        assert others.ended == 1

    virtual_time.run(scenario())


def test_who_is_cancelled_ends_them_all() -> None:
    async def scenario() -> None:
        others = Others()
        waiting = asyncio.create_task(first_to_end(others.go_on(), others.go_on()))
        await asyncio.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert others.ended == 2

    virtual_time.run(scenario())
