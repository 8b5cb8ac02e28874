"""What follows when a device has run out of memory: idle models are evicted, and the error says what was needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.errors import exhausted
from voiceplane_common.logs import get_logger

from voiceplane_worker.adapters.out_of_memory import free_bytes, needed_bytes, release_device_memory
from voiceplane_worker.residency.async_waits import end, ends_within

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from voiceplane_common.clock import Clock
    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.adapters.devices import MemoryReading
    from voiceplane_worker.residency.model_entry import ModelLoad
    from voiceplane_worker.residency.resident_models import ResidentModels

RETRY_AFTER_MS = 2_000

_log = get_logger("models")


class MemoryRecovery:
    """Frees memory of idle models. Confined to the event loop."""

    def __init__(
        self,
        residents: ResidentModels,
        *,
        device: str,
        read_memory: Callable[[], MemoryReading | None],
        clock: Clock,
        timeout_s: float,
    ) -> None:
        """Prepare.

        Args:
            residents: The models.
            device: For messages.
            read_memory: Measures the device's memory, blocking; None if it can't be measured.
            clock: Monotonic time.
            timeout_s: How long the evicted models may take to close.
        """
        self._residents = residents
        self._device = device
        self._read_memory = read_memory
        self._clock = clock
        self._timeout_s = timeout_s

    async def free(self, *, incoming: ModelLoad | None = None) -> list[str]:
        """Evict all idle models, also within their minimum residency, and wait until they are closed.

        Args:
            incoming: The load that needs the memory; it and its base model stay.

        Returns:
            The models that were evicted.
        """
        evicted = [
            usage.model_id
            for usage in self._residents.usages(incoming)
            if usage.idle and (incoming is None or usage.model_id != incoming.spec.model_id)
        ]
        entries = [self._residents.entries[model_id] for model_id in evicted]
        for entry in entries:
            self._residents.drain(entry, reason="OutOfMemory", asked=False)
        closed = asyncio.create_task(
            self._residents.signal.until(lambda: not any(entry.in_memory for entry in entries))
        )
        if not await ends_within(closed, clock=self._clock, seconds=self._timeout_s):
            await end(closed)
        await asyncio.to_thread(release_device_memory)
        return evicted

    async def explain(
        self, model_id: str, error: BaseException, *, doing: str, needed: int = 0, evicted: Collection[str] = ()
    ) -> VoiceplaneError:
        """The error for callers, with what was needed and what is free.

        Args:
            model_id: The model.
            error: What the library raised.
            doing: "loaded" or "used".
            needed: Bytes that the model needs in all; 0 if unknown.
            evicted: What was evicted for it.
        """
        reading = await asyncio.to_thread(self._read_memory)
        asked, free = needed_bytes(error), free_bytes(error)
        if free is None and reading is not None:
            free = reading.free_bytes
        facts = [f"it needs about {needed} bytes" if needed else ""]
        facts += [f"an allocation of {asked} bytes failed" if asked else ""]
        facts += [f"{free} bytes were free" if free is not None else ""]
        facts += [f"of {reading.total_bytes}" if reading else ""]
        facts += [f"{', '.join(evicted)} had been evicted for it" if evicted else "no idle model could be evicted"]
        message = (
            f"device {self._device} ran out of memory while model {model_id!r} was being {doing}: "
            f"{', '.join(fact for fact in facts if fact)}; unload a model, lower worker.max_sessions or "
            "worker.compute_workers, or use a larger device"
        )
        _log.error("device_out_of_memory", model_id=model_id, message=message, error=type(error).__name__)
        return exhausted("DEVICE_OUT_OF_MEMORY", message, retry_after_ms=RETRY_AFTER_MS)
