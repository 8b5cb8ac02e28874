"""Where a torch model runs, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError


def torch_device(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda" or "cuda:N".

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, DEVICE_UNAVAILABLE: torch does not know it, or does not see it here.
    """
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdecimal()) or name.endswith(":"):
        raise _no_device(f"device {name!r} is unknown: use cpu, cuda or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise _no_device(
            f"torch sees no device {name!r} here: check the driver and the GPU, or set worker.device to cpu"
        )
    return torch.device("cuda", int(index or 0)) if kind == "cuda" else torch.device("cpu")


def torch_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it, float16 on another, float32 on a CPU."""
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _no_device(message: str) -> VoiceplaneError:
    return failed_precondition("DEVICE_UNAVAILABLE", message, field="worker.device")
