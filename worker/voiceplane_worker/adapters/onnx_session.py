"""onnxruntime sessions with the options that a server of many short, uneven runs needs; for every ONNX family."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import onnxruntime
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Session: TypeAlias = "onnxruntime.InferenceSession"
Tensors: TypeAlias = "dict[str, NDArray[Any]]"

# mallopt(3): the parameters' numbers in malloc.h, and our values. Blocks from the first size on are given back to the
# system when they are freed; a heap's end is, from the second on. No run of a voice is measurably slower for it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES = 4 << 20, 1 << 20

# Runs are thread-safe, making sessions at the same time is not documented to be.
_opening = threading.Lock()


def check_device(device: str) -> None:
    """Refuse a device that this installation of onnxruntime can't use.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, reason DEVICE_UNAVAILABLE.
    """
    if _providers(device)[0][0] not in onnxruntime.get_available_providers():
        raise failed_precondition(
            "DEVICE_UNAVAILABLE",
            f"onnxruntime has no support for device {device!r} here: install onnxruntime-gpu and CUDA, or set "
            "worker.device to cpu",
            field="worker.device",
        )


def open_session(model: bytes | str, *, device: str, threads: int) -> Session:
    """Open a model, given as bytes or as a file's path.

    Raises whatever onnxruntime raises on a model that it can't run; its exceptions have no base class of their own.
    """
    _bound_what_the_heap_keeps()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take the processor from the event loop, and from the other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern is kept for each shape of input, and here nearly every run has another one.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    with _opening:
        return onnxruntime.InferenceSession(model, options, providers=_providers(device))


def run(session: Session, tensors: Tensors) -> Tensors:
    """Run a session on those of the tensors that it takes; returns its outputs by name."""
    feeds = {entry.name: tensors[entry.name] for entry in session.get_inputs()}
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def release_memory() -> None:
    """Give memory of closed sessions back to the system, which glibc would otherwise keep for later."""
    gc.collect()
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


@functools.cache
def _bound_what_the_heap_keeps() -> None:
    """Hold what glibc keeps of freed memory to a little, for the life of the process.

    It raises its two thresholds to the largest block that was freed, up to 32 and 64 MiB. Each thread's heap may then
    keep so much at its end, where malloc_trim does not reach. Thresholds that were set stay where they are.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def _glibc(function: str) -> Callable[..., int] | None:
    """One of glibc's own functions; musl has none of them."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return [("CPUExecutionProvider", {})]
    if kind == "cuda" and (not index or index.isdecimal()):
        return [("CUDAExecutionProvider", {"device_id": index or "0", "cudnn_conv_algo_search": "HEURISTIC"})]
    raise failed_precondition(
        "DEVICE_UNAVAILABLE", f"device {device!r} is unknown: use cpu, cuda or cuda:N", field="worker.device"
    )
