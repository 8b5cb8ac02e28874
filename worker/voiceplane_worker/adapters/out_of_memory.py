"""Out of memory, as the libraries of the families report it: recognized without importing any of them.

torch raises OutOfMemoryError, onnxruntime a RuntimeException of its allocator, CUDA's libraries other errors; a model
in a child process gives a RuntimeError with the text. What they needed is in the text of torch alone.
"""

from __future__ import annotations

import contextlib
import re
import sys

from voiceplane_worker.adapters.memory import release_leftovers

_TEXT = re.compile(
    r"out of memory|OutOfMemoryError|failed to allocate memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED"
    r"|CUDNN_STATUS_ALLOC_FAILED|std::bad_alloc",
    re.IGNORECASE,
)
_NEEDED = re.compile(r"tried to allocate ([\d.]+) ?([KMGT]?i?B)", re.IGNORECASE)
_FREE = re.compile(r"([\d.]+) ?([KMGT]?i?B) (?:is )?free", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    from_library = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return from_library and _TEXT.search(str(error)) is not None


def needed_bytes(error: BaseException) -> int:
    """What the allocation that failed asked for; 0 if the error does not say."""
    return _bytes(_NEEDED.search(str(error)))


def free_bytes(error: BaseException) -> int | None:
    """What was free then; None if the error does not say."""
    found = _FREE.search(str(error))
    return _bytes(found) if found else None


def release_device_memory() -> None:
    """Give back what is cached: by torch, if a family has imported it, and by the heap. Blocking."""
    release_leftovers()
    torch = sys.modules.get("torch")
    if torch is not None:
        with contextlib.suppress(Exception):  # a device in a bad state: the next call to it says so
            torch.cuda.empty_cache()


def _bytes(found: re.Match[str] | None) -> int:
    if found is None:
        return 0
    unit = found[2].lower().removesuffix("b").removesuffix("i")
    return round(float(found[1]) * float(1024 ** _UNITS[unit]))
