"""Tunes Python's garbage collector so that it does not block the event loop.

A full collection visits every object and blocks all threads: 70 to 80 ms with the libraries of a worker or an
orchestrator, which is the time of four frames. It runs when the number of objects has grown by a quarter, so garbage
also stays for long.
"""

from __future__ import annotations

import gc

# Of the middle generation's collections, before one of everything; Python's own is 10. Sessions end in cycles that hold
# 50 KB each, of tasks, tracebacks and buffers, and with little to look at, their collection costs next to nothing.
THRESHOLD = 1


def freeze() -> None:
    """Exclude all current objects from later collections, which then take milliseconds at most, and run early.

    Call it when the program is ready. Cyclic garbage among the excluded objects is freed by full_collect() only.
    """
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, THRESHOLD)
    gc.collect()
    _leave_out()


def refreeze() -> None:
    """Exclude the objects that were created since freeze(); does nothing before the first freeze()."""
    if gc.get_freeze_count():
        freeze()


def full_collect() -> None:
    """Collect all garbage, including that of excluded objects."""
    settled = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if settled:
        _leave_out()


def _leave_out() -> None:
    gc.freeze()
    gc.collect()  # nearly empty: Python derives the next collection from the number of objects left
