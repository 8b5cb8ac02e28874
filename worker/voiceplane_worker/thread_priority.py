"""Inference yields the CPU to the event loop, which sends a frame every 20 ms; see docs/explanation/design.md."""

from __future__ import annotations

import contextlib
import os
import threading

COMPUTE_NICENESS = 5


def lower_thread_priority() -> None:
    """Make this thread nicer, and those that it starts from now on."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COMPUTE_NICENESS)
