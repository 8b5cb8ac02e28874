"""A resident CSM: the weights that a base and its LoRA adapters share, and the turns that they take on the device."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from voiceplane_worker.adapters.memory import release_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A process owns one device, and the libraries keep state for all of it: the random numbers, the active adapter, and
# what generate() writes into its configuration. So one frame is computed at a time, whoever it is for.
_device = threading.Lock()

BASE = ""
"""The name of no adapter: the base itself speaks."""


class Resident:
    """A loaded CSM with its processor and the adapters on it.

    Attributes:
        model: A CsmForConditionalGeneration; to be used within a turn.
        processor: Its CsmProcessor.
        device: Where the weights are.
        memory_bytes: What the weights hold, without adapters.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model: Any = model
        self.processor: Any = processor
        self.device: torch.device = model.device
        self.memory_bytes = bytes_of(itertools.chain(model.parameters(), model.buffers()))
        self._adapted: Any = None  # peft's wrapper of the model, while there are adapters
        self._active: str | None = BASE  # None: not known
        self._names = (f"adapter{number}" for number in itertools.count())

    def attach(self, config: Any, weights: dict[str, torch.Tensor]) -> str:
        """Put a LoRA adapter beside the weights, which stay where they are.

        It waits for the frame that is being computed; speech under way goes on undisturbed.

        Args:
            config: A peft LoraConfig.
            weights: As peft saves them.

        Returns:
            The adapter's name, for turn() and detach().

        Raises:
            ValueError: Config, weights and base do not fit together; nothing is attached.
        """
        with _device:
            name = next(self._names)
            self._active = None
            try:
                if self._adapted is None:
                    self._adapted = PeftModel(self.model, config, name, autocast_adapter_dtype=False)
                else:
                    self._adapted.add_adapter(name, config, autocast_adapter_dtype=False)
                result = set_peft_model_state_dict(self._adapted, weights, adapter_name=name)
                missing = [key for key in result.missing_keys if f".{name}." in key]
                if missing or result.unexpected_keys:
                    raise ValueError(
                        f"it lacks {_some(missing)} of its own configuration, and has "
                        f"{_some(result.unexpected_keys)} that the base has no place for"
                    )
            except (RuntimeError, TypeError, ValueError, KeyError) as error:
                self._remove(name)
                raise ValueError(str(error)) from error
            self.model.eval()
            return name

    def detach(self, name: str) -> None:
        """Free an adapter; nothing speaks with it any more."""
        with _device:
            self._remove(name)
        self.release()

    def close(self) -> None:
        """Free the weights."""
        self.model = self.processor = self._adapted = None
        self.release()

    def release(self) -> None:
        """Give back what the libraries keep of freed memory."""
        release_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def turn(self, *, adapter: str, seed: int) -> Turn:
        """A place in the device's time for one piece of speech.

        Args:
            adapter: One that is attached, or BASE.
            seed: Of the piece's random numbers, which no other piece changes.
        """
        return Turn(self, adapter=adapter, seed=seed)

    def activate(self, adapter: str) -> None:
        """Let an adapter speak, or the base; only within a turn."""
        if self._active == adapter:
            return
        self._active = None
        if self._adapted is not None:
            tuner = self._adapted.base_model
            if adapter == BASE:
                tuner.disable_adapter_layers()
            else:
                tuner.enable_adapter_layers()
                tuner.set_adapter(adapter, inference_mode=True)
        self._active = adapter

    def _remove(self, name: str) -> None:
        """Take an adapter off, and with the last one, what peft has put around the base's layers."""
        if self._adapted is None:
            return
        self._active = None
        others = [other for other in self._adapted.peft_config if other != name]
        if others:
            self._adapted.base_model.set_adapter(others[0], inference_mode=True)  # peft warns about an active one
        if name in self._adapted.peft_config:
            self._adapted.delete_adapter(name)
        if not others:
            self._adapted.unload()
            self._adapted = None


class Turn:
    """The device, for one frame after another of one piece of speech, with that piece's adapter and random numbers."""

    def __init__(self, resident: Resident, *, adapter: str, seed: int) -> None:
        self._resident = resident
        self._adapter = adapter
        self._random = _RandomState(resident.device, seed)
        self._mine = False

    def take(self) -> None:
        """Wait for the device."""
        _device.acquire()
        self._mine = True
        self._random.enter()
        self._resident.activate(self._adapter)

    def leave(self) -> None:
        """Let others have it; again, it does nothing."""
        if self._mine:
            self._mine = False
            self._random.leave()
            _device.release()


class _RandomState:
    """torch's random numbers on a device, as one piece of speech sees them."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device = device
        self._state = torch.Generator(device).manual_seed(seed).get_state()

    def enter(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._state, self._device)
        else:
            torch.set_rng_state(self._state)

    def leave(self) -> None:
        on_cuda = self._device.type == "cuda"
        self._state = torch.cuda.get_rng_state(self._device) if on_cuda else torch.get_rng_state()


def _some(names: Sequence[str]) -> str:
    """How many weights, and the name of one."""
    return f"{len(names)} weights" + (f" (such as {min(names)})" if names else "")


def bytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """The bytes that tensors hold; those that share their storage count once."""
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())
