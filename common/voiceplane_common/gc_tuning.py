"""Python's garbage collector, kept from stopping the event loop.

A full collection looks at every object, and nothing else runs meanwhile: 70 to 80 ms with a worker's or an
orchestrator's libraries, the time of four frames. It comes when a quarter as many objects are new, so garbage also lies
about for long.
"""

from __future__ import annotations

import gc

# Of the middle generation's collections, before one of everything; Python's own is 10. Sessions end in cycles that hold
# 50 KB each, of tasks, tracebacks and buffers, and with little to look at, their collection costs next to nothing.
THRESHOLD = 1


def freeze() -> None:
    """Leave what there is now out of later collections, which then take milliseconds at most, and come soon.

    For a program that is ready. What is left out and dies in a cycle is freed by full_collect() only.
    """
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, THRESHOLD)
    gc.collect()
    _leave_out()


def refreeze() -> None:
    """The same for what has come since, in a program that has settled; nothing in another one."""
    if gc.get_freeze_count():
        freeze()


def full_collect() -> None:
    """A collection of everything, also of what was left out."""
    settled = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if settled:
        _leave_out()


def _leave_out() -> None:
    gc.freeze()
    gc.collect()  # of nothing: from how little is left, Python reckons when the next one is due
