"""The devices of this machine: whether the worker's is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

# What a machine with an NVIDIA GPU has: a driver, WSL 2's, or that of a Jetson.
_SIGNS = ("proc/driver/nvidia", "dev/nvidia0", "dev/nvidiactl", "dev/dxg", "dev/nvhost-ctrl", "dev/nvmap")


def device_problem(device: str, *, root: Path = Path("/")) -> VoiceplaneError | None:
    """Why a device can't be used; None if nothing speaks against it. Imports no library of a family.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        root: Where the system's files are.
    """
    kind, colon, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (colon and not index.isdecimal()):
        message = f"device {device!r} is unknown: use cpu, cuda or cuda:N"
    elif kind == "cuda" and not any((root / sign).exists() for sign in _SIGNS):
        message = (
            f"the worker's device is {device!r}, and this machine has no NVIDIA driver: run the worker where a GPU is, "
            "give its container the GPU, or set worker.device to cpu"
        )
    else:
        return None
    return failed_precondition("DEVICE_UNAVAILABLE", message, field="worker.device")
