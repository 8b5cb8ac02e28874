"""What a process uses, by what its threads are for."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Processor seconds since the process began.

    Attributes:
        loop_s: Its first thread, which runs the event loop.
        compute_s: Threads that are nicer than that: a worker's inference gives way to its event loop.
        other_s: All others.
        compute_threads: How many are nicer.
    """

    loop_s: float
    compute_s: float
    other_s: float
    compute_threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Until now."""
        own = os.getpriority(os.PRIO_PROCESS, pid)
        loop_s = compute_s = other_s = 0.0
        nicer = 0
        for thread in psutil.Process(pid).threads():
            used_s = thread.user_time + thread.system_time
            if thread.id == pid:
                loop_s = used_s
                continue
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                if os.getpriority(os.PRIO_PROCESS, thread.id) > own:
                    compute_s += used_s
                    nicer += 1
                else:
                    other_s += used_s
        return cls(loop_s=loop_s, compute_s=compute_s, other_s=other_s, compute_threads=nicer)
