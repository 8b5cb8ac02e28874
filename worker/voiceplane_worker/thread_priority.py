"""Compute threads run with a lower priority than the event loop, which sends a frame every 20 ms."""

from __future__ import annotations

import contextlib
import os
import threading

COMPUTE_NICENESS = 5


def lower_thread_priority() -> None:
    """Raise the niceness of this thread, and of threads that it starts from now on."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COMPUTE_NICENESS)
