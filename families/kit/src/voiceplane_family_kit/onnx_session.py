"""onnxruntime sessions with the options that a server of many short, uneven runs needs; for every ONNX family."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import onnxruntime
from voiceplane_common.errors import failed_precondition
from voiceplane_worker.adapters.memory import bound_what_the_heap_keeps

if TYPE_CHECKING:
    from numpy.typing import NDArray

Session: TypeAlias = "onnxruntime.InferenceSession"
Tensors: TypeAlias = "dict[str, NDArray[Any]]"

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
    bound_what_the_heap_keeps()
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


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return [("CPUExecutionProvider", {})]
    if kind == "cuda" and (not index or index.isdecimal()):
        return [("CUDAExecutionProvider", {"device_id": index or "0", "cudnn_conv_algo_search": "HEURISTIC"})]
    raise failed_precondition(
        "DEVICE_UNAVAILABLE", f"device {device!r} is unknown: use cpu, cuda or cuda:N", field="worker.device"
    )
