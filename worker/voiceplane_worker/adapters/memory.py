"""Memory that glibc would keep for later: given back to the system when a model goes."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from typing import TYPE_CHECKING

from voiceplane_common import gc_tuning

if TYPE_CHECKING:
    from collections.abc import Callable

# mallopt(3): the parameters' numbers in malloc.h, and our values. Blocks from the first size on are given back to the
# system when they are freed; a heap's end is, from the second on. No run of a voice is measurably slower for it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES = 4 << 20, 1 << 20


def release_memory() -> None:
    """Give memory of closed models back to the system, which glibc would otherwise keep for later."""
    gc_tuning.full_collect()
    _trim()


def release_leftovers() -> None:
    """Likewise what a load, which is over, has needed, or left when it failed; all of that is young garbage."""
    gc.collect()
    _trim()


@functools.cache
def bound_what_the_heap_keeps() -> None:
    """Hold what glibc keeps of freed memory to a little, for the life of the process.

    It raises its two thresholds to the largest block that was freed, up to 32 and 64 MiB. Each thread's heap may then
    keep so much at its end, where malloc_trim does not reach. Thresholds that were set stay where they are.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def _trim() -> None:
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(function: str) -> Callable[..., int] | None:
    """One of glibc's own functions; musl has none of them."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
