"""A pool scales up at once and down after its delay, within its limits."""

from __future__ import annotations

import pytest
from voiceplane_operator.reconcile.autoscale import Load, Scale, autoscaled
from voiceplane_operator.specs.pool import Autoscaling

SPEC = Autoscaling(
    min_replicas=1, max_replicas=5, target_sessions_per_worker=4, target_queue_depth=2, scale_down_delay_seconds=300
)


def load(sessions: int = 0, queue_depth: int = 0, *, complete: bool = True) -> Load:
    return Load(sessions=sessions, queue_depth=queue_depth, complete=complete)


@pytest.mark.parametrize(
    ("sessions", "queue_depth", "replicas"),
    [(4, 0, 1), (5, 0, 2), (8, 0, 2), (9, 0, 3), (0, 3, 2), (5, 7, 4), (13, 2, 4), (1_000, 0, 5), (0, 1_000, 5)],
)
def test_the_larger_target_scales_up_at_once_within_the_limits(sessions: int, queue_depth: int, replicas: int) -> None:
    scale = autoscaled(SPEC, load(sessions, queue_depth), present=1, too_many_since=None, now=10.0)
    assert scale == Scale(replicas=replicas)


def test_a_target_that_is_not_set_is_ignored() -> None:
    spec = Autoscaling(max_replicas=5, target_queue_depth=2)
    assert autoscaled(spec, load(100, 2), present=1, too_many_since=None, now=0.0) == Scale(replicas=1)


def test_a_scale_down_waits_for_the_delay() -> None:
    first = autoscaled(SPEC, load(), present=4, too_many_since=None, now=10.0)
    assert first == Scale(replicas=4, too_many_since=10.0, due=310.0)
    later = autoscaled(SPEC, load(), present=4, too_many_since=10.0, now=309.9)
    assert later == first
    assert autoscaled(SPEC, load(5), present=4, too_many_since=10.0, now=310.0) == Scale(replicas=2)


def test_load_in_the_meantime_restarts_the_delay() -> None:
    busy = autoscaled(SPEC, load(16), present=4, too_many_since=10.0, now=200.0)
    assert busy == Scale(replicas=4)
    idle = autoscaled(SPEC, load(), present=4, too_many_since=busy.too_many_since, now=201.0)
    assert idle.due == 501.0


def test_an_unreported_worker_blocks_a_scale_down() -> None:
    scale = autoscaled(SPEC, load(complete=False), present=4, too_many_since=10.0, now=1_000.0)
    assert scale == Scale(replicas=4)


@pytest.mark.parametrize(("present", "replicas"), [(9, 5), (1, 2)])
def test_changed_limits_apply_at_once(present: int, replicas: int) -> None:
    spec = SPEC.model_copy(update={"min_replicas": 2})
    assert autoscaled(spec, load(), present=present, too_many_since=None, now=0.0).replicas == replicas


@pytest.mark.parametrize("least", [0, 3])
def test_without_workers_the_size_is_the_minimum(least: int) -> None:
    spec = SPEC.model_copy(update={"min_replicas": least})
    assert autoscaled(spec, load(100), present=0, too_many_since=None, now=0.0) == Scale(replicas=least)
