"""The compute pool: the earliest deadline first, and cancellation that frees the compute."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from voiceplane_worker import scheduler
from voiceplane_worker.scheduler import DeadlineScheduler

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pool() -> Iterator[DeadlineScheduler]:
    pool = DeadlineScheduler(workers=1)
    yield pool
    pool.close()


class Gate:
    """A step that runs until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self._opened.wait(10)
        return "done"

    def open(self) -> None:
        self._opened.set()


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 10)


async def test_the_earliest_deadline_runs_first(pool: DeadlineScheduler) -> None:
    gate, order = Gate(), []
    blocker = asyncio.create_task(pool.run(gate, deadline=0.0))
    await entered(gate)
    steps = [
        asyncio.create_task(pool.run(lambda name=name: order.append(name), deadline=deadline))  # type: ignore[misc]
        for name, deadline in [("late", 9.0), ("first", 1.0), ("middle", 5.0), ("first too", 1.0)]
    ]
    await asyncio.sleep(0)  # every task has queued its step
    gate.open()
    await asyncio.gather(blocker, *steps)
    assert order == ["first", "first too", "middle", "late"]


async def test_files_leave_a_thread_to_realtime_streams_and_use_all_without_them() -> None:
    pool = DeadlineScheduler(workers=2)
    try:
        gates = [Gate(), Gate()]
        files = [asyncio.create_task(pool.run(gate, deadline=1e9, background=True)) for gate in gates]
        await asyncio.gather(*(entered(gate) for gate in gates))  # without realtime streams, on both threads
        gates[0].open()
        assert await files[0] == "done"
        assert await pool.run(lambda: "realtime", deadline=0.0) == "realtime"
        later = Gate()
        waiting = asyncio.create_task(pool.run(later, deadline=1e9, background=True))
        assert await pool.run(lambda: "realtime", deadline=2e9) == "realtime", "a file's step does not take its thread"
        assert not later.entered.is_set()
        gates[1].open()
        await entered(later)  # one file at a time goes on
        later.open()
        await asyncio.gather(waiting, *files)
    finally:
        pool.close()


async def test_files_use_all_threads_again_when_realtime_streams_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "RESERVE_S", 0.05)
    pool = DeadlineScheduler(workers=2)
    try:
        await pool.run(lambda: "realtime", deadline=0.0)
        gates = [Gate(), Gate()]
        files = [asyncio.create_task(pool.run(gate, deadline=1e9, background=True)) for gate in gates]
        await asyncio.gather(*(entered(gate) for gate in gates))
        for gate in gates:
            gate.open()
        await asyncio.gather(*files)
    finally:
        pool.close()


async def test_a_steps_error_reaches_its_caller(pool: DeadlineScheduler) -> None:
    def step() -> None:
        raise ValueError("from the model")

    with pytest.raises(ValueError, match="from the model"):
        await pool.run(step, deadline=0.0)
    assert await pool.run(lambda: 3, deadline=0.0) == 3


async def test_a_cancelled_step_that_waits_never_runs(pool: DeadlineScheduler) -> None:
    gate, ran = Gate(), []
    blocker = asyncio.create_task(pool.run(gate, deadline=0.0))
    await entered(gate)
    waiting = asyncio.create_task(pool.run(lambda: ran.append(1), deadline=1.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.open()
    assert await blocker == "done"
    await pool.run(lambda: None, deadline=2.0)
    assert not ran


async def test_cancelling_a_running_step_returns_when_the_compute_is_free(pool: DeadlineScheduler) -> None:
    gate = Gate()
    running = asyncio.create_task(pool.run(gate, deadline=0.0))
    await entered(gate)
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done(), "the step still holds the device"
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await running
    await pool.run(lambda: None, deadline=0.0)
    assert pool.queue_depth == 0


async def test_the_expected_time_counts_the_steps_that_go_first(pool: DeadlineScheduler) -> None:
    assert pool.expected_s("long", deadline=1.0) == 0.0, "nothing is known yet"
    await pool.run(lambda: time.sleep(0.02), deadline=0.0, kind="long")
    await pool.run(lambda: None, deadline=0.0, kind="short")
    long, short = (pool.expected_s(kind, deadline=5.0) for kind in ("long", "short"))
    assert long >= 0.02 > short
    gate = Gate()
    running = asyncio.create_task(pool.run(gate, deadline=0.0, kind="long"))
    await entered(gate)
    earlier = asyncio.create_task(pool.run(lambda: None, deadline=1.0, kind="short"))
    later = asyncio.create_task(pool.run(lambda: None, deadline=9.0, kind="long"))
    await asyncio.sleep(0)
    assert pool.expected_s("short", deadline=5.0) == pytest.approx(long / 2 + short + short)
    gate.open()
    await asyncio.gather(running, earlier, later)
