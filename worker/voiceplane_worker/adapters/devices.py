"""The devices of this machine: whether the worker's is there, and how much of its memory is free.

Memory is measured by NVML, the driver's library, through nvidia-ml-py where that is installed.
"""

from __future__ import annotations

import functools
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.errors import VoiceplaneError

# What a machine with a GPU has: NVIDIA's driver, WSL 2's, that of a Jetson, or AMD's, which torch calls cuda, too.
_SIGNS = ("proc/driver/nvidia", "dev/nvidia0", "dev/nvidiactl", "dev/dxg", "dev/nvhost-ctrl", "dev/nvmap", "dev/kfd")


# Of what is free at the start, the budget of models: the rest is for what they compute, and for the driver.
BUDGET_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """The memory of a device, with that of other processes.

    Attributes:
        total_bytes: In all.
        free_bytes: Free now.
    """

    total_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        """In use."""
        return self.total_bytes - self.free_bytes


def read_memory(device: str) -> MemoryReading | None:
    """Measure a device's memory; None for a CPU, or where it can't be measured. Blocking, about a millisecond."""
    kind, _, index = device.partition(":")
    nvml = _nvml() if kind == "cuda" else None
    if nvml is None or (index and not index.isdecimal()):
        return None
    try:
        handle = _handle(nvml, int(index or 0), os.environ)
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return None
    return MemoryReading(total_bytes=int(info.total), free_bytes=int(info.free))


def memory_budget_bytes(device: str) -> int:
    """The budget of models on a device where none is set; 0 for no limit."""
    reading = read_memory(device)
    return int(reading.free_bytes * BUDGET_SHARE) if reading else 0


@functools.cache
def _nvml() -> Any:
    """The library, ready to be asked; None without nvidia-ml-py or without a driver."""
    try:
        pynvml = importlib.import_module("pynvml")  # of use only where there is a driver
        pynvml.nvmlInit()
    except Exception:  # the module, the library or the driver is not there, or they don't fit each other
        return None
    return pynvml


def _handle(nvml: Any, index: int, environ: Mapping[str, str]) -> Any:
    """The device that CUDA calls by this index: CUDA_VISIBLE_DEVICES selects and orders them."""
    visible = [each.strip() for each in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    name = visible[index] if index < len(visible) else str(index)
    return nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else nvml.nvmlDeviceGetHandleByUUID(name)


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
            f"the worker's device is {device!r}, and this machine has no GPU driver: run the worker where a GPU is, "
            "give its container the GPU, or set worker.device to cpu"
        )
    else:
        return None
    return failed_precondition("DEVICE_UNAVAILABLE", message, field="worker.device")
