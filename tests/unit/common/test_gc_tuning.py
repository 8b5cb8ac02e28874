"""What a program that has settled is spared, and what is freed all the same."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from voiceplane_common import gc_tuning

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring:
    """Garbage that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def settled() -> Iterator[weakref.ref[Ring]]:
    """This process, frozen with an unreferenced cycle in it."""
    ring = Ring()
    dying = weakref.ref(ring)
    thresholds = gc.get_threshold()
    gc_tuning.freeze()
    del ring
    try:
        yield dying
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def test_a_collection_has_almost_nothing_to_look_at(settled: weakref.ref[Ring]) -> None:
    assert gc.get_freeze_count() > 20 * len(gc.get_objects())
    gc.collect()
    assert settled() is not None, "it is left out"


def test_garbage_of_a_thousand_sessions_is_freed_by_itself(settled: weakref.ref[Ring]) -> None:
    """It has become old, and with Python's own thresholds it would be by far too little to look at."""
    sessions = [[Ring() for _ in range(20)] for _ in range(1000)]
    old = weakref.ref(sessions[0][0])
    gc.collect(1)
    sessions.clear()
    assert old() is not None
    kept: list[list[int]] = [[] for _ in range(20_000)]  # what goes on being made; Python counts that
    assert old() is None
    assert len(kept) == 20_000
    assert settled() is not None


def test_new_garbage_is_freed_as_ever(settled: weakref.ref[Ring]) -> None:
    ring = Ring()
    young = weakref.ref(ring)
    del ring
    gc.collect()
    assert young() is None
    assert settled() is not None


def test_collect_frees_what_was_left_out_and_leaves_out_the_rest_again(settled: weakref.ref[Ring]) -> None:
    gc_tuning.full_collect()
    assert settled() is None
    assert gc.get_freeze_count() > 20 * len(gc.get_objects())


def test_resettle_leaves_out_what_has_come_since(settled: weakref.ref[Ring]) -> None:
    rings = [Ring() for _ in range(10_000)]
    assert len(gc.get_objects()) > 10_000
    gc_tuning.refreeze()
    assert len(gc.get_objects()) < 10_000
    assert settled() is not None
    assert len(rings) == 10_000


def test_a_process_that_has_not_settled_is_left_alone() -> None:
    gc_tuning.refreeze()
    gc_tuning.full_collect()
    assert gc.get_freeze_count() == 0
