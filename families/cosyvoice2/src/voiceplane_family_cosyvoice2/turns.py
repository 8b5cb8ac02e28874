"""The turns that utterances take on the device, each with its own random numbers."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# A process owns one device, and torch has one state of random numbers for all of it. So one step is computed at a time,
# whoever it is for.
_device = threading.Lock()


class Turns:
    """The device for one step after another of one utterance, from whichever thread."""

    def __init__(self, device: torch.device, *, dtype: torch.dtype, seed: int) -> None:
        """Begin.

        Args:
            device: Where the model is.
            dtype: The precision of its weights.
            seed: Of the utterance's random numbers, which no other utterance changes.
        """
        self._device = device
        self._dtype = dtype
        places = [torch.device("cpu"), device] if device.type == "cuda" else [device]
        self._states = [torch.Generator(place).manual_seed(seed).get_state() for place in places]

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the device, and have it within the context."""
        in_half = torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32)
        with _device, torch.inference_mode(), in_half:
            torch.set_rng_state(self._states[0])
            if len(self._states) > 1:
                torch.cuda.set_rng_state(self._states[1], self._device)
            try:
                yield
            finally:
                self._states[0] = torch.get_rng_state()
                if len(self._states) > 1:
                    self._states[1] = torch.cuda.get_rng_state(self._device)
