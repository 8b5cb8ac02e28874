"""The recognizer's queue: order, cancellation and limits."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.asr.compute_queue import ComputeQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Gate:
    """Work that begins when the queue says so and ends when the test says so."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._began = threading.Event()
        self._may_end = threading.Event()

    def blocking(self) -> str:
        self._began.set()
        assert self._may_end.wait(10)
        return "blocking"

    def named(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.order.append(name)
            return name

        return work

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self._began.wait, 10)

    def open(self) -> None:
        self._may_end.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def queue(gate: Gate) -> AsyncIterator[ComputeQueue[str]]:
    queue: ComputeQueue[str] = ComputeQueue(workers=1, max_waiting=4, name="test")
    yield queue
    gate.open()
    await queue.aclose()


async def start(queue: ComputeQueue[str], work: Callable[[], str], *, urgent: bool) -> asyncio.Task[str]:
    """A task that has reached the queue."""
    task = asyncio.create_task(queue.run(work, urgent=urgent))
    await asyncio.sleep(0)
    return task


async def test_the_urgent_overtakes_what_waits_and_equals_keep_their_order(
    queue: ComputeQueue[str], gate: Gate
) -> None:
    tasks = [await start(queue, gate.blocking, urgent=False)]
    await gate.has_begun()
    for name, urgent in (("partial 1", False), ("final 1", True), ("partial 2", False), ("final 2", True)):
        tasks.append(await start(queue, gate.named(name), urgent=urgent))
    gate.open()
    await asyncio.gather(*tasks)
    assert gate.order == ["final 1", "final 2", "partial 1", "partial 2"]


async def test_what_is_cancelled_while_it_waits_is_never_done(queue: ComputeQueue[str], gate: Gate) -> None:
    running = await start(queue, gate.blocking, urgent=False)
    await gate.has_begun()
    superseded = await start(queue, gate.named("superseded"), urgent=False)
    superseded.cancel()
    newest = await start(queue, gate.named("newest"), urgent=False)
    gate.open()
    assert await newest == "newest"
    assert await running == "blocking"
    assert gate.order == ["newest"]


async def test_cancelling_what_runs_frees_the_caller_and_then_the_worker(queue: ComputeQueue[str], gate: Gate) -> None:
    running = await start(queue, gate.blocking, urgent=False)
    await gate.has_begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    following = await start(queue, gate.named("following"), urgent=False)
    assert gate.order == []
    gate.open()
    assert await following == "following"


async def test_the_queue_is_bounded_and_the_cancelled_leave_it(queue: ComputeQueue[str], gate: Gate) -> None:
    await start(queue, gate.blocking, urgent=False)
    waiting = [await start(queue, gate.named(str(index)), urgent=False) for index in range(4)]
    with pytest.raises(VoiceplaneError) as caught:
        await queue.run(gate.named("too many"), urgent=True)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    waiting[0].cancel()
    await asyncio.sleep(0)
    admitted = await start(queue, gate.named("admitted"), urgent=True)
    gate.open()
    assert await admitted == "admitted"
    await asyncio.gather(*waiting[1:])


async def test_an_error_reaches_its_caller_and_the_next_is_served(queue: ComputeQueue[str], gate: Gate) -> None:
    def broken() -> str:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        await queue.run(broken, urgent=True)
    assert await queue.run(gate.named("next"), urgent=True) == "next"


async def test_closing_fails_what_waits_and_refuses_what_comes(gate: Gate) -> None:
    queue: ComputeQueue[str] = ComputeQueue(workers=1, max_waiting=4, name="test")
    running = await start(queue, gate.blocking, urgent=False)
    await gate.has_begun()
    waiting = await start(queue, gate.named("waiting"), urgent=False)
    gate.open()
    await queue.aclose()
    assert await running == "blocking"
    with pytest.raises(VoiceplaneError, match="shut down"):
        await waiting
    with pytest.raises(VoiceplaneError, match="shut down"):
        await queue.run(gate.named("late"), urgent=True)
    assert gate.order == []
