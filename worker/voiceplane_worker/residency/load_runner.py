"""Runs model loads: admission, fetch, load, warm-up, and the switch to the new generation."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from voiceplane_common.errors import VoiceplaneError, invalid, not_found, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_worker.adapters.base import Crashable
from voiceplane_worker.adapters.out_of_memory import is_out_of_memory
from voiceplane_worker.residency.async_waits import end, ends_within
from voiceplane_worker.residency.load_errors import backoff_s, load_failed, load_timed_out
from voiceplane_worker.residency.model_entry import LoadedModel, ModelLoad
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.residency.voice_catalog import voice_catalog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from voiceplane_common.clock import Clock

    from voiceplane_worker.adapters.base import Model
    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.packs.catalog import CatalogPack, PackCatalog
    from voiceplane_worker.packs.metadata import PackMetadata
    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.residency.load_check import LoadCheck
    from voiceplane_worker.residency.memory_recovery import MemoryRecovery
    from voiceplane_worker.residency.model_entry import ModelEntry
    from voiceplane_worker.residency.model_reference import ModelReference
    from voiceplane_worker.residency.model_spec import ModelSpec
    from voiceplane_worker.residency.resident_models import ResidentModels
    from voiceplane_worker.settings import ModelManagerSection

_log = get_logger("models")


class Loader(Protocol):
    """Does the blocking work. A cancelled method returns only after it has undone what it began."""

    async def fetch(
        self,
        spec: ModelSpec,
        known: CatalogPack | None,
        *,
        fetched: Callable[[int, int], None],
        admit: Callable[[int], None],
    ) -> VoicePack:
        """Fetch a pack to this machine; `known` is the catalog's entry of the model.

        Calls `fetched` on the event loop with the bytes done and the bytes in all, 0 if unknown. Calls `admit` there,
        too, before anything is fetched, with the bytes that the model will need at least; what it raises ends it.
        """
        ...

    async def load(self, pack: VoicePack, spec: ModelSpec, *, base: Model | None = None) -> Model:
        """Load the model into memory, or attach it to its base model, which outlives it."""
        ...

    async def warm_up(self, model: Model, pack: VoicePack) -> float:
        """Synthesize the warm-up text; returns the gain in dB that brings it to the target loudness."""
        ...

    async def close(self, model: Model) -> None:
        """Free the model."""
        ...


def described(spec: ModelSpec, known: CatalogPack | None) -> PackMetadata | None:
    """What the catalog says of the pack that a spec asks for; None if it asks for another one."""
    return known.metadata if known and not spec.source else None


class LoadRunner:
    """Runs loads, with a limit of concurrent ones."""

    def __init__(
        self,
        *,
        settings: ModelManagerSection,
        catalog: PackCatalog,
        loader: Loader,
        clock: Clock,
        residents: ResidentModels,
        metrics: Metrics,
        acquire: Callable[[str], Coroutine[Any, Any, ModelReference]],
        check: LoadCheck,
        memory: MemoryRecovery,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._loader = loader
        self._clock = clock
        self._residents = residents
        self._metrics = metrics
        self._acquire = acquire
        self._check = check
        self._memory = memory
        self._slots = asyncio.Semaphore(settings.max_parallel_loads)
        self._fetch_slots = asyncio.Semaphore(settings.max_parallel_fetches)

    def begin(self, entry: ModelEntry, spec: ModelSpec) -> ModelLoad:
        """Admit a load and start it.

        Raises:
            VoiceplaneError: RESOURCE_EXHAUSTED, NO_ROOM; nothing has changed.
        """
        known = self._catalog.find(spec.model_id)
        load = ModelLoad(spec=spec, started=self._clock.now())
        load.memory_bytes = (known.metadata.memory_bytes if known else None) or 0
        if problem := self._check.memory_problem(spec.model_id, load.memory_bytes):
            raise problem
        self._residents.admit(entry, load)
        self._residents.entries[spec.model_id] = entry
        entry.load = load
        if not entry.serving:
            entry.spec, entry.error = spec, None
        load.task = self._residents.spawn(self._run(entry, load))
        load.task.add_done_callback(functools.partial(self._ended, entry, load))
        self._residents.note()
        return load

    async def _run(self, entry: ModelEntry, load: ModelLoad) -> VoiceplaneError | None:
        hold = ExitStack()
        known = self._catalog.find(load.spec.model_id)
        if problem := self._check.problem(load.spec.family, described(load.spec, known)):
            return problem
        try:
            # Before it takes a slot: the base may need a slot for its own load.
            base = await self._hold_base(load.spec, hold) if load.spec.base_model_id else None
            async with self._fetch_slots:
                load.started = self._clock.now()
                pack = await self._fetch(entry, load)
            if isinstance(pack, VoiceplaneError):
                return pack
            fetched_s = self._clock.now()
            async with self._slots:
                load.started += self._clock.now() - fetched_s  # waiting is not loading
                return await self._bring_up_in_time(entry, load, pack, base, hold)
        except VoiceplaneError as error:
            return error
        finally:
            hold.close()  # what the new generation has not taken over

    async def _hold_base(self, spec: ModelSpec, hold: ExitStack) -> LoadedModel:
        """A LoRA's base model, loaded if it is not resident; it stays resident while it is held."""
        base = self._residents.entries.get(spec.base_model_id)
        if base is None:
            message = (
                f"base model {spec.base_model_id!r} of model {spec.model_id!r} is unknown to this worker: load it first"
            )
            raise not_found("base_model_id", message, reason="BASE_MODEL_NOT_FOUND")
        if (base.load or base).spec.base_model_id:
            raise invalid(
                "base_model_id", f"model {base.model_id!r} is a LoRA itself: set base_model_id to its base model"
            )
        reference = await self._acquire(base.model_id)
        hold.callback(reference.release)
        return hold.enter_context(reference.use())

    def _ended(self, entry: ModelEntry, load: ModelLoad, task: asyncio.Task[VoiceplaneError | None]) -> None:
        """Record a load's outcome. A callback, since a task that is cancelled before it starts runs no clean-up."""
        outcome = "resident"
        if task.cancelled():
            outcome = "cancelled"
            load.error = unavailable("MODEL_UNLOADED", f"model {entry.model_id!r} was unloaded during its load")
        elif error := task.result():
            outcome = "failed"
            load.error = error
            entry.fail(error, declaration=load.spec.declaration, retry_at=self._clock.now() + backoff_s(entry.failures))
            _log.warning("load_failed", model_id=entry.model_id, reason=error.reason, message=error.message)
        label = self._metrics.model(entry.model_id)
        self._metrics.model_load_seconds.labels(model=label, outcome=outcome).observe(self._clock.now() - load.started)
        entry.load = None
        load.ended.set()
        self._residents.settle(entry)

    async def _fetch(self, entry: ModelEntry, load: ModelLoad) -> VoicePack | VoiceplaneError:
        """Fetch the pack. It holds no slot of loads, and its deadline is by progress: no byte for a time."""
        fetch = asyncio.create_task(self._bring(entry, load))
        try:
            await asyncio.wait([fetch])
        except asyncio.CancelledError:
            await end(fetch)
            raise
        return load_failed(entry.model_id, fetch) or fetch.result()

    async def _bring_up_in_time(
        self, entry: ModelEntry, load: ModelLoad, pack: VoicePack, base: LoadedModel | None, hold: ExitStack
    ) -> VoiceplaneError | None:
        work = asyncio.create_task(self._bring_up(entry, load, pack, base, hold))
        timeout_s = (load.spec.load_timeout_ms or self._settings.load_timeout_ms) / 1000
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

    async def _clear_up(self, entry: ModelEntry, load: ModelLoad, work: asyncio.Task[None]) -> None:
        """Wait for a load that has timed out; until it ends, it counts against the caps."""
        await end(work)
        entry.abandoned.remove(load)
        self._residents.settle(entry)

    async def _bring(self, entry: ModelEntry, load: ModelLoad) -> VoicePack:
        known = self._catalog.find(entry.model_id)

        def admit(memory_bytes: int) -> None:
            if problem := self._check.memory_problem(entry.model_id, memory_bytes):
                raise problem
            load.memory_bytes = max(load.memory_bytes, memory_bytes)
            self._residents.check_room(entry, load)

        return await self._loader.fetch(load.spec, known, fetched=functools.partial(self._fetched, load), admit=admit)

    async def _bring_up(
        self, entry: ModelEntry, load: ModelLoad, pack: VoicePack, base: LoadedModel | None, hold: ExitStack
    ) -> None:
        with hold.pop_all() as taken:
            loaded = await self._load(entry, load, pack, base)
            entry.serve(loaded, load=load, hold=taken.pop_all(), now=self._clock.now())
        self._residents.missing.pop(entry.model_id, None)
        self._metrics.models_lost.labels(model=self._metrics.model(entry.model_id))  # export the 0, too
        _log.info("model_resident", model_id=entry.model_id, generation=loaded.generation, seconds=entry.load_seconds)
        self._residents.settle(entry)
        self._watch(entry, loaded)
        self._attach_again(entry)

    async def _load(self, entry: ModelEntry, load: ModelLoad, pack: VoicePack, base: LoadedModel | None) -> LoadedModel:
        voice_catalog_of(load.spec, pack.metadata.voices)
        if base and base.pack.metadata.family != pack.metadata.family:
            families = f"{pack.metadata.family!r}, and its base model's is {base.pack.metadata.family!r}"
            message = f"the family of model {entry.model_id!r} is {families}: use a base model of the same family"
            raise invalid("base_model_id", message)
        load.memory_bytes = pack.metadata.memory_bytes or pack.size_bytes
        self._residents.admit(entry, load)
        await self._residents.signal.until(lambda: self._residents.room_is_free(entry, load))
        try:
            model, gain_db = await self._load_and_warm_up(entry, load, pack, base)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # its frames hold what the failed load had allocated
            evicted = await self._memory.free(incoming=load)
            _log.warning("load_retried", model_id=entry.model_id, evicted=evicted, error=type(error).__name__)
            try:
                model, gain_db = await self._load_and_warm_up(entry, load, pack, base)
            except Exception as again:
                if not is_out_of_memory(again):
                    raise
                needed, again.__traceback__ = load.memory_bytes, None
                raise await self._memory.explain(
                    entry.model_id, again, doing="loaded", needed=needed, evicted=evicted
                ) from None
        return LoadedModel(model=model, gain_db=gain_db, generation=entry.generation + 1, pack=pack)

    async def _load_and_warm_up(
        self, entry: ModelEntry, load: ModelLoad, pack: VoicePack, base: LoadedModel | None
    ) -> tuple[Model, float]:
        self._enter(load, ModelState.LOADING)
        model = await self._loader.load(pack, load.spec, base=base.model if base else None)
        try:
            load.memory_bytes = model.memory_bytes
            self._residents.admit(entry, load)
            self._enter(load, ModelState.WARMING)
            gain_db = await self._loader.warm_up(model, pack)
            voice_catalog_of(load.spec, model.voices)  # its declaration may have changed meanwhile
        except BaseException:
            await self._residents.close_model(entry, model)
            raise
        return model, gain_db

    def _attach_again(self, base: ModelEntry) -> None:
        """Load the LoRAs of a base again on its new generation; until then, they keep the old one."""
        for entry in list(self._residents.entries.values()):
            if entry.spec.base_model_id != base.model_id or not entry.serving or entry.load or entry.draining:
                continue
            try:
                self.begin(entry, entry.spec)
            except VoiceplaneError as error:
                _log.warning("lora_stays_on_old_base", model_id=entry.model_id, message=error.message)

    def _watch(self, entry: ModelEntry, loaded: LoadedModel) -> None:
        """Watch for a crash of the serving generation's model."""
        loop = asyncio.get_running_loop()

        def on_crash(error: VoiceplaneError) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the worker with it
                loop.call_soon_threadsafe(self._lost, entry, loaded, error)

        if isinstance(loaded.model, Crashable):
            loaded.model.on_crash(on_crash)

    def _lost(self, entry: ModelEntry, loaded: LoadedModel, error: VoiceplaneError) -> None:
        """Free what is left of a crashed model, and load it again."""
        if entry.serving is None or entry.serving.loaded is not loaded:
            return
        self._metrics.models_lost.labels(model=self._metrics.model(entry.model_id)).inc()
        _log.error("model_lost", model_id=entry.model_id, message=error.message)
        entry.retire()
        entry.fail(error, declaration=entry.spec.declaration, retry_at=self._clock.now() + backoff_s(entry.failures))
        self._residents.settle(entry)
        if entry.load or entry.draining:
            return
        try:
            self.begin(entry, entry.spec)
        except VoiceplaneError as refused:
            _log.warning("lost_model_stays_away", model_id=entry.model_id, message=refused.message)

    def _fetched(self, load: ModelLoad, done: int, total: int) -> None:
        load.fetch.note(done, total, now=self._clock.now())
        self._residents.note()

    def _enter(self, load: ModelLoad, phase: ModelState) -> None:
        load.phase = phase
        self._residents.note()
