"""The work queue, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.work_queue import WorkItem, WorkQueue

from tests.support import virtual_time
from tests.support.spans import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

ITEM = WorkItem("TTSWorkerPool", Key("speech", "p"))


def runs(ask: Callable[[WorkQueue], None], *, until: float, takes_s: float = 0.0, failures: int = 0) -> list[float]:
    """When ITEM ran, with 4 workers."""
    began: list[float] = []
    at_once = 0

    async def reconcile(_: WorkItem) -> None:
        nonlocal at_once
        began.append(round(asyncio.get_running_loop().time(), 2))
        at_once += 1
        assert at_once == 1
        await asyncio.sleep(takes_s)
        at_once -= 1
        if len(began) <= failures:
            raise RuntimeError("not yet")

    async def scenario() -> None:
        await asyncio.sleep(1.0)
        queue = WorkQueue(reconcile, metrics=Metrics())
        task = asyncio.create_task(queue.run(workers=4))
        ask(queue)
        await asyncio.sleep(until)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())
    return began


def test_an_item_added_twice_runs_once() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        queue.add(ITEM)

    assert runs(ask, until=60.0) == [1.0]


def test_an_item_added_while_it_runs_runs_once_more() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        for delay_s in (1.0, 2.0):
            asyncio.get_running_loop().call_later(delay_s, queue.add, ITEM)

    assert runs(ask, until=60.0, takes_s=5.0) == [1.0, 6.0]


def test_failures_are_retried_with_backoff() -> None:
    assert runs(lambda queue: queue.add(ITEM), until=60.0, failures=3) == [1.0, 1.5, 2.5, 4.5]


def test_the_backoff_has_a_limit_and_forget_resets_it() -> None:
    began = runs(lambda queue: queue.add(ITEM), until=400.0, failures=9)
    assert [round(after - before, 1) for before, after in itertools.pairwise(began)][-3:] == [32.0, 60.0, 60.0]

    def ask(queue: WorkQueue) -> None:
        def recreate() -> None:
            queue.forget(ITEM)
            queue.add(ITEM)

        queue.add(ITEM)
        asyncio.get_running_loop().call_later(5.0, recreate)

    assert runs(ask, until=6.0, failures=9) == [1.0, 1.5, 2.5, 4.5, 6.0, 6.5]


def test_an_item_added_again_at_once_is_delayed() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        asyncio.get_running_loop().call_later(0.02, queue.add, ITEM)

    assert runs(ask, until=60.0) == [1.0, 1.1]


def test_the_earliest_delay_counts() -> None:
    def ask(queue: WorkQueue) -> None:
        for delay_s in (9.0, 4.0, 7.0):
            queue.add_later(ITEM, delay_s)

    assert runs(ask, until=60.0) == [5.0]


def test_a_forgotten_item_is_not_requeued() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add_later(ITEM, 5.0)
        queue.forget(ITEM)

    assert runs(ask, until=60.0) == []


def test_an_addition_does_not_shorten_the_backoff() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        for tenth in range(100):
            asyncio.get_running_loop().call_later(tenth / 10, queue.add, ITEM)
            asyncio.get_running_loop().call_later(tenth / 10, queue.add_later, ITEM, 0.01)

    assert runs(ask, until=10.5, failures=99) == [1.0, 1.5, 2.5, 4.5, 8.5]


def test_an_addition_during_a_failing_run_keeps_the_backoff() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        asyncio.get_running_loop().call_later(1.0, queue.add, ITEM)
        asyncio.get_running_loop().call_later(1.0, queue.add_later, ITEM, 0.1)

    assert runs(ask, until=60.0, takes_s=2.0, failures=1) == [1.0, 3.5]


@pytest.mark.parametrize(("after_s", "expected"), [(10.0, [1.0, 1.5, 2.5, 4.5, 8.5, 11.0, 11.5]), (0.2, [1.0, 1.2])])
def test_a_change_of_the_object_ends_the_backoff(after_s: float, expected: list[float]) -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        asyncio.get_running_loop().call_later(after_s, queue.add_now, ITEM)

    assert runs(ask, until=60.0, failures=len(expected) - 1) == expected


def test_a_change_during_a_failing_run_ends_the_backoff() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        asyncio.get_running_loop().call_later(1.0, queue.add_now, ITEM)

    assert runs(ask, until=60.0, takes_s=2.0, failures=2) == [1.0, 3.0, 5.5]


def test_a_forgotten_waiting_item_does_not_run() -> None:
    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        queue.forget(ITEM)

    assert runs(ask, until=60.0) == []


def test_a_reconcile_is_a_trace_with_its_result_and_requeue(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = recorded(monkeypatch)

    def ask(queue: WorkQueue) -> None:
        queue.add(ITEM)
        asyncio.get_running_loop().call_later(4.0, queue.add, ITEM)  # within the second run

    assert runs(ask, until=60.0, takes_s=3.0, failures=1) == [1.0, 4.5, 7.5]
    whose = {"kind": "TTSWorkerPool", "namespace": "speech", "name": "p"}
    first, second, third = spans.named("reconcile")
    assert first.attributes == whose | {"result": "failed", "requeue_s": 0.5}
    assert second.attributes == whose | {"result": "ok", "requeue_s": 0.0}
    assert third.attributes == whose | {"result": "ok"}
    assert [span.failed for span in (first, second, third)] == ["RuntimeError", "", ""]
    assert {(span.parent, span.over) for span in spans.spans} == {("", True)}
