"""What holds on a GPU for every family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.adapters.base import Adapter
    from voiceplane_worker.packs.pack import VoicePack

CYCLES = 50


def assert_memory_returns(adapter: Adapter, pack: VoicePack, *, speak: Callable[..., object]) -> None:
    """Load a pack, speak and close, many times: a model holds what it says, and the device's memory returns."""
    left: list[int] = []
    for _ in range(CYCLES):
        model = adapter.load(pack, device="cuda:0", threads=1)
        speak(model)
        assert torch.cuda.memory_allocated() >= model.memory_bytes
        model.close()
        left.append(torch.cuda.memory_reserved())
    assert left[-1] <= left[4]
