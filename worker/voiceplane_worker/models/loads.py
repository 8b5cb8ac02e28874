"""Loads: from a promise of room to a serving generation, or to nothing at all."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Protocol

from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_worker.models.entry import Load, LoadedModel
from voiceplane_worker.models.failures import backoff_s, load_failed, load_timed_out
from voiceplane_worker.models.offer import offer_of
from voiceplane_worker.models.status import ModelState
from voiceplane_worker.models.waiting import end, ends_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_common.clock import Clock

    from voiceplane_worker.adapters.base import Model
    from voiceplane_worker.models.entry import Entry
    from voiceplane_worker.models.residents import Residents
    from voiceplane_worker.models.status import ModelSpec
    from voiceplane_worker.packs.catalog import Catalog, CatalogPack
    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.settings import ModelManagerSection

_log = get_logger("models")


class Loader(Protocol):
    """Does the work. Each method, when it is cancelled, ends only after what it began has been undone."""

    async def fetch(
        self, spec: ModelSpec, known: CatalogPack | None, *, fetched: Callable[[int, int], None]
    ) -> VoicePack:
        """Bring a pack to this machine; `known` is what the catalog says of the model.

        Calls `fetched` on the event loop with the bytes done and the bytes in all, 0 if unknown.
        """
        ...

    async def load(self, pack: VoicePack, spec: ModelSpec) -> Model:
        """Load it into memory."""
        ...

    async def warm_up(self, model: Model, pack: VoicePack) -> float:
        """Speak the warm-up text, unheard; returns the gain in dB that brings it to the target loudness."""
        ...

    async def close(self, model: Model) -> None:
        """Free it."""
        ...


class Loads:
    """Runs loads, a bounded number at once."""

    def __init__(
        self, *, settings: ModelManagerSection, catalog: Catalog, loader: Loader, clock: Clock, residents: Residents
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._loader = loader
        self._clock = clock
        self._residents = residents
        self._slots = asyncio.Semaphore(settings.max_parallel_loads)

    def begin(self, entry: Entry, spec: ModelSpec) -> Load:
        """Promise room to a load and start it.

        Raises:
            VoiceplaneError: RESOURCE_EXHAUSTED: there is none; nothing has changed.
        """
        known = self._catalog.find(spec.model_id)
        load = Load(spec=spec, started=self._clock.now())
        load.memory_bytes = (known.metadata.memory_bytes if known else None) or 0
        self._residents.admit(entry, load)
        self._residents.entries[spec.model_id] = entry
        entry.load = load
        if not entry.serving:
            entry.spec, entry.error = spec, None
        load.task = self._residents.spawn(self._run(entry, load))
        load.task.add_done_callback(functools.partial(self._ended, entry, load))
        self._residents.note()
        return load

    async def _run(self, entry: Entry, load: Load) -> VoiceplaneError | None:
        async with self._slots:
            load.started = self._clock.now()
            return await self._bring_up_in_time(entry, load)

    def _ended(self, entry: Entry, load: Load, task: asyncio.Task[VoiceplaneError | None]) -> None:
        """Note a load's outcome. A callback, since a task that is cancelled before its first step runs no cleanup."""
        if task.cancelled():
            load.error = unavailable("MODEL_UNLOADED", f"model {entry.model_id!r} was unloaded while it was loaded")
        elif error := task.result():
            load.error = error
            entry.fail(error, declaration=load.spec.declaration, retry_at=self._clock.now() + backoff_s(entry.failures))
            _log.warning("load_failed", model_id=entry.model_id, reason=error.reason, message=error.message)
        entry.load = None
        load.ended.set()
        self._residents.settle(entry)

    async def _bring_up_in_time(self, entry: Entry, load: Load) -> VoiceplaneError | None:
        work = asyncio.create_task(self._bring_up(entry, load))
        timeout_s = self._settings.load_timeout_ms / 1000
        try:
            in_time = await ends_within(work, clock=self._clock, seconds=timeout_s)
        except asyncio.CancelledError:
            await end(work)
            raise
        if in_time:
            return load_failed(entry.model_id, work)
        entry.abandoned.append(load)
        self._residents.spawn(self._clear_up(entry, load, work))
        return load_timed_out(entry.model_id, load.phase, timeout_s=timeout_s)

    async def _clear_up(self, entry: Entry, load: Load, work: asyncio.Task[None]) -> None:
        """Wait for the end of a load that came too late; its room is not free before."""
        await end(work)
        entry.abandoned.remove(load)
        self._residents.settle(entry)

    async def _bring_up(self, entry: Entry, load: Load) -> None:
        known = self._catalog.find(entry.model_id)
        pack = await self._loader.fetch(load.spec, known, fetched=functools.partial(self._fetched, load))
        offer_of(load.spec, pack.metadata.voices)
        load.memory_bytes = pack.metadata.memory_bytes or pack.size_bytes
        self._residents.admit(entry, load)
        await self._residents.signal.until(lambda: self._residents.room_is_free(entry, load))
        self._enter(load, ModelState.LOADING)
        model = await self._loader.load(pack, load.spec)
        try:
            load.memory_bytes = model.memory_bytes
            self._residents.admit(entry, load)
            self._enter(load, ModelState.WARMING)
            gain_db = await self._loader.warm_up(model, pack)
            offer_of(load.spec, model.voices)  # it may have been declared anew meanwhile
        except BaseException:
            await self._residents.close_model(entry, model)
            raise
        loaded = LoadedModel(model=model, gain_db=gain_db, generation=entry.generation + 1, pack=pack)
        entry.serve(loaded, load=load, now=self._clock.now())
        self._residents.missing.pop(entry.model_id, None)
        _log.info("model_resident", model_id=entry.model_id, generation=loaded.generation, seconds=entry.load_seconds)
        self._residents.settle(entry)

    def _fetched(self, load: Load, done: int, total: int) -> None:
        load.fetched_bytes, load.fetch_bytes = done, total
        self._residents.note()

    def _enter(self, load: Load, phase: ModelState) -> None:
        load.phase = phase
        self._residents.note()
