"""The model manager: loads models on demand, counts their references, and evicts them.

The decisions are in `eviction` and `admission`. All state is confined to the event loop and changes between two awaits,
so there are no locks: each method first records its request in the entries, then waits until it is fulfilled.
"""

from __future__ import annotations

import asyncio
import copy
import time
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_worker.metrics import Metrics
from voiceplane_worker.residency import eviction
from voiceplane_worker.residency.async_waits import end, ends_within
from voiceplane_worker.residency.load_check import NEVER, LoadCheck
from voiceplane_worker.residency.load_runner import LoadRunner, described
from voiceplane_worker.residency.memory_recovery import MemoryRecovery
from voiceplane_worker.residency.model_entry import ModelEntry
from voiceplane_worker.residency.model_spec import Residency, with_content, with_rules
from voiceplane_worker.residency.prefetcher import Prefetcher
from voiceplane_worker.residency.resident_models import ResidentModels
from voiceplane_worker.residency.status_builder import build_status
from voiceplane_worker.residency.voice_catalog import voice_catalog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_common.clock import Clock

    from voiceplane_worker.adapters.devices import MemoryReading
    from voiceplane_worker.packs.catalog import CatalogPack, PackCatalog
    from voiceplane_worker.residency.load_runner import Loader
    from voiceplane_worker.residency.model_entry import ModelLoad
    from voiceplane_worker.residency.model_reference import ModelReference
    from voiceplane_worker.residency.model_spec import ModelSpec
    from voiceplane_worker.residency.model_status import ModelStatus
    from voiceplane_worker.settings import ModelManagerSection

_log = get_logger("models")


class ModelManager:
    """The models of one worker.

    Attributes:
        memory: Frees memory when the device has run out of it.
    """

    def __init__(
        self,
        *,
        settings: ModelManagerSection,
        catalog: PackCatalog,
        loader: Loader,
        clock: Clock,
        metrics: Metrics | None = None,
        changed: Callable[[], None] = lambda: None,
        declared: Iterable[ModelSpec] = (),
        wall: Callable[[], float] = time.time,
        check: LoadCheck | None = None,
        device: str = "cpu",
        read_memory: Callable[[], MemoryReading | None] = lambda: None,
    ) -> None:
        """Prepare; nothing is loaded before `start`.

        Args:
            settings: Caps, TTL and timeouts.
            catalog: The models that are known by name.
            loader: Fetches, loads, warms up and closes.
            clock: Monotonic time.
            metrics: Of the worker; None for metrics that are not exported.
            changed: Called after each change of `statuses` or `ready`.
            declared: Models of the models file. Preloaded and pinned ones are loaded at the start, but the worker is
                ready without them, so that a broken one does not block the others.
            wall: Unix seconds, for the times in statuses.
            device: For messages.
            read_memory: Measures its memory, blocking; None if it can't be measured.
            check: Refuses models that this worker can never load; None for one that knows no device and no licence.
        """
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self._wall_offset = wall() - clock.now()
        metrics = metrics or Metrics()
        self._check = check or LoadCheck(device="cpu", memory_cap_bytes=lambda: settings.memory_cap_bytes)
        self._residents = ResidentModels(
            settings=settings, catalog=catalog, closer=loader, clock=clock, metrics=metrics, changed=changed
        )
        self.memory = MemoryRecovery(
            self._residents,
            device=device,
            read_memory=read_memory,
            clock=clock,
            timeout_s=settings.unload_drain_timeout_ms / 1000,
        )
        self._load_runner = LoadRunner(
            settings=settings,
            catalog=catalog,
            loader=loader,
            clock=clock,
            residents=self._residents,
            metrics=metrics,
            acquire=self.acquire,
            check=self._check,
            memory=self.memory,
        )
        self._prefetcher = Prefetcher(residents=self._residents, catalog=catalog, loader=loader, clock=clock)
        self._watcher: asyncio.Task[None] | None = None
        self._prefetching: asyncio.Task[None] | None = None
        self._closed = False
        self._declared = tuple(declared)
        self._residents.adopt_catalog()
        for spec in self._declared:
            self._residents.entries[spec.model_id] = ModelEntry(spec=spec)

    @property
    def ready(self) -> bool:
        """Whether the default and the preloaded models have all become resident since the start."""
        return not self._closed and not self._residents.missing

    async def start(self) -> None:
        """Load the default and preloaded models, and start eviction. A failed load is a state and not an exception."""
        loads = [self._load_missing(model_id) for model_id in self._residents.missing]
        for spec in self._declared:
            self._declare_at_start(spec)
        self._watcher = asyncio.create_task(self._evict_and_retry())
        if self._settings.prefetch:
            self._prefetching = asyncio.create_task(self._prefetcher.run())
        for load in filter(None, loads):
            await load.ended.wait()

    async def close(self) -> None:
        """Unload everything; waits for current uses, at most the drain timeout."""
        self._closed = True
        for task in filter(None, (self._watcher, self._prefetching)):
            await end(task)
        entries = self._residents.entries.values()
        for entry in list(entries):
            if entry.uses_capacity:
                self._residents.drain(entry, reason="Closing", asked=True)
                entry.retire()
                self._residents.settle(entry)
        gone = asyncio.create_task(
            self._residents.signal.until(lambda: not any(entry.uses_capacity for entry in entries))
        )
        if not await ends_within(gone, clock=self._clock, seconds=self._settings.unload_drain_timeout_ms / 1000):
            await end(gone)
            _log.warning("models_left_open", model_ids=[entry.model_id for entry in entries if entry.uses_capacity])

    def statuses(self) -> tuple[ModelStatus, ...]:
        """Every known model, by id."""
        return tuple(self._status(entry) for _, entry in sorted(self._residents.entries.items()))

    async def acquire(self, model_id: str, *, only_if_resident: bool = False) -> ModelReference:
        """Take a reference; loads the model first if it is not resident.

        Cancelling the caller leaves the load running, for callers that also wait for it and for later ones.

        Args:
            model_id: Empty for the default model.
            only_if_resident: If the model is not resident, start its load and fail at once.

        Raises:
            VoiceplaneError: NOT_FOUND: unknown model. FAILED_PRECONDITION, MODEL_NOT_RESIDENT: see above.
                UNAVAILABLE: draining, closing, or failed a moment ago. RESOURCE_EXHAUSTED: no room. Or the load's own.
        """
        self._check_open()
        entry = self._residents.find(model_id or self._settings.default_model_id)
        while entry.draining:
            if entry.unloading:
                raise unavailable("MODEL_DRAINING", f"model {entry.model_id!r} is being unloaded: use another model")
            await self._residents.signal.until(self._drained(entry))
            self._check_open()
            entry = self._residents.find(entry.model_id)
        if entry.serving:
            return self._residents.add_reference(entry)
        load = entry.load or self._load_for_session(entry)
        if only_if_resident:
            message = (
                f"model {entry.model_id!r} is not resident; its load has started: use another model, or retry later"
            )
            raise failed_precondition("MODEL_NOT_RESIDENT", message, field="model_id")
        reference = self._residents.add_reference(entry)
        try:
            await _finish(load)
        except BaseException:
            reference.release()
            raise
        return reference

    async def load(self, spec: ModelSpec, *, no_wait: bool = False) -> ModelStatus:
        """Make a model resident; the residency rules of the last request apply.

        If the content is unchanged, a resident model answers at once and a load under way is joined. New content is
        loaded beside the old, which serves until the new one is resident. A model that drains with references stays.
        Empty fields of a spec keep their value, or the catalog's; with a declaration, they always get the catalog's.

        Args:
            spec: What to load.
            no_wait: Return the current state instead of waiting until the model is resident.

        Raises:
            VoiceplaneError: NOT_FOUND: unknown, and no source given. INVALID_ARGUMENT: it has no such voice.
                RESOURCE_EXHAUSTED: no room. UNAVAILABLE: closing, or unloaded meanwhile. Or the load's own.
        """
        entry, begun = self._request(spec)
        if no_wait:
            if not begun:
                self._residents.spawn(self._load_later(spec))
            return self._status(entry)
        while not begun:
            await self._residents.signal.until(self._free_to_load(entry))
            entry, begun = self._request(spec)
        if entry.load:
            await _finish(entry.load)
        return self._status(entry)

    def declare(self, spec: ModelSpec) -> ModelStatus:
        """Make a model known without loading it; its first session loads it.

        If it is resident or being loaded, new content is loaded at once.

        Raises:
            VoiceplaneError: NOT_FOUND: unknown, and no source given. UNAVAILABLE: closing. RESOURCE_EXHAUSTED: no
                room for the new content beside the old.
        """
        known = self._residents.entries.get(spec.model_id)
        if known and (known.uses_capacity or known.draining):
            entry, begun = self._request(spec)
            if not begun:
                self._residents.spawn(self._load_later(spec))
            return self._status(entry)
        self._check_open()
        entry = known or (ModelEntry(spec=spec) if spec.source else self._residents.find(spec.model_id))
        entry.spec = with_content(with_rules(entry.spec, spec), spec)
        entry.error, entry.failures, entry.retry_at = None, 0, 0.0
        self._residents.entries[spec.model_id] = entry
        self._residents.note()
        return self._status(entry)

    async def unload(self, model_id: str, *, drain_timeout_ms: int | None = None) -> ModelStatus:
        """Drain and unload a model, even a pinned one; cancels its load. A later acquire or load loads it again.

        Args:
            model_id: The model.
            drain_timeout_ms: How long to wait for its references; None for the worker's setting.

        Returns:
            ABSENT, or DRAINING at the timeout: it is then unloaded when its last reference ends. RESIDENT if a load
            was requested meanwhile.

        Raises:
            VoiceplaneError: NOT_FOUND: unknown model.
        """
        entry = self._residents.find(model_id)
        self._residents.drain(entry, reason="UnloadRequested", asked=True)
        timeout_ms = self._settings.unload_drain_timeout_ms if drain_timeout_ms is None else drain_timeout_ms
        gone = asyncio.create_task(self._residents.signal.until(self._drained(entry)))
        try:
            await ends_within(gone, clock=self._clock, seconds=timeout_ms / 1000)
        finally:
            await end(gone)
        return self._status(entry)

    async def reload(self, model_id: str) -> ModelStatus:
        """Read a model's pack again and load it; the old generation serves until the new one is resident.

        Raises:
            VoiceplaneError: NOT_FOUND: unknown model. UNAVAILABLE: it is being unloaded. Or the load's own, and the
                old generation continues to serve.
        """
        problems = await asyncio.to_thread(self._catalog.refresh)
        self._residents.adopt_catalog()
        if model_id in problems:
            raise problems[model_id]
        self._check_open()
        entry = self._residents.find(model_id)
        while entry.load or entry.draining:
            if entry.unloading:
                raise unavailable("MODEL_DRAINING", f"model {model_id!r} is being unloaded: load it again afterwards")
            await self._residents.signal.until(self._free_to_load(entry))
            self._check_open()
            entry = self._residents.find(model_id)
        await _finish(self._load_runner.begin(entry, entry.spec))
        return self._status(entry)

    def _check_open(self) -> None:
        if self._closed:
            raise unavailable("WORKER_CLOSING", "the worker is shutting down: use another worker")

    def _status(self, entry: ModelEntry) -> ModelStatus:
        known = self._catalog.find(entry.model_id)
        return build_status(
            entry,
            usage=self._residents.usage(entry),
            known=known.metadata if known else None,
            is_default=entry.model_id == self._settings.default_model_id,
            wall_offset=self._wall_offset,
            problem=None if entry.uses_capacity else self._problem(entry, known),
        )

    def _problem(self, entry: ModelEntry, known: CatalogPack | None) -> VoiceplaneError | None:
        """Why a model that is not loaded never can be."""
        if entry.error and entry.error.reason in NEVER:
            return entry.error
        return self._check.problem(entry.spec.family, described(entry.spec, known))

    def _request(self, spec: ModelSpec) -> tuple[ModelEntry, bool]:
        """Record a load request in the entry; False if something else has to end first."""
        self._check_open()
        entry = self._residents.entries.get(spec.model_id)
        if entry is None:
            entry = ModelEntry(spec=spec) if spec.source else self._residents.find(spec.model_id)
        if entry.draining and entry.serving and not entry.load:
            entry.draining, entry.unloading = "", False
        if entry.draining:
            return entry, False
        if entry.load:
            if not self._same_content(entry, entry.load.spec, spec):
                return entry, False
            entry.load.spec = with_rules(entry.load.spec, spec)
        elif entry.serving and self._same_content(entry, entry.spec, spec):
            ruled = with_rules(entry.spec, spec)
            voice_catalog_of(ruled, entry.serving.loaded.model.voices)
            entry.spec = ruled
            entry.error, entry.failures, entry.retry_at = None, 0, 0.0  # the failed content is no longer requested
            self._residents.note()
        else:
            self._load_runner.begin(entry, with_content(with_rules(entry.spec, spec), spec))
        return entry, True

    @staticmethod
    def _drained(entry: ModelEntry) -> Callable[[], bool]:
        return lambda: not entry.draining

    @staticmethod
    def _free_to_load(entry: ModelEntry) -> Callable[[], bool]:
        return lambda: not (entry.load or entry.draining)

    async def _load_later(self, spec: ModelSpec) -> None:
        """The waiting half of a load without a waiting caller; the model's state reports a failure."""
        try:
            await self.load(spec)
        except VoiceplaneError as error:
            _log.warning("load_failed", model_id=spec.model_id, reason=error.reason, message=error.message)

    def _same_content(self, entry: ModelEntry, have: ModelSpec, want: ModelSpec) -> bool:
        """Whether `want` requests the content that `have` is.

        An empty family or source in it means the same one; in a declaration, an empty source means the catalog's.
        """
        known = self._catalog.find(entry.model_id)
        listed = known.metadata.source if known else None
        wanted = with_content(have, want)
        sources = {have.source or listed} if want.declaration else {None, have.source or listed}
        family = have.family or (entry.serving.loaded.pack.metadata.family if entry.serving else want.family)
        return (
            (wanted.source or listed) in sources
            and want.family in {"", family}
            and (wanted.warm_up_text, wanted.base_model_id, wanted.options)
            == (have.warm_up_text, have.base_model_id, have.options)
        )

    def _load_for_session(self, entry: ModelEntry) -> ModelLoad:
        now = self._clock.now()
        if entry.error and now < entry.retry_at:
            wait_ms = max(1, round((entry.retry_at - now) * 1000))
            message = f"model {entry.model_id!r} failed to load: {entry.error.message}"
            raise unavailable("MODEL_FAILED", message, retry_after_ms=wait_ms)
        return self._load_runner.begin(entry, entry.spec)

    def _declare_at_start(self, spec: ModelSpec) -> None:
        entry = self._residents.entries[spec.model_id]
        if spec.residency is Residency.ON_DEMAND or entry.uses_capacity or entry.draining:
            return
        try:
            self._load_for_session(entry)
        except VoiceplaneError as error:
            _log.warning("declared_model_deferred", model_id=spec.model_id, reason=error.reason, message=error.message)

    def _load_missing(self, model_id: str) -> ModelLoad | None:
        """Start the load of a default or preloaded model, unless it is under way or in its backoff."""
        first = ModelEntry(spec=self._residents.first_spec(model_id))
        entry = self._residents.entries.setdefault(model_id, first)
        if entry.load or entry.draining:
            return entry.load
        try:
            return self._load_for_session(entry)
        except VoiceplaneError as error:
            _log.warning("preload_deferred", model_id=model_id, reason=error.reason, message=error.message)
            return None

    async def _evict_and_retry(self) -> None:
        """Evict by TTL, and retry the loads that the worker's readiness waits for."""
        while True:
            await self._clock.sleep(self._settings.evict_check_interval_ms / 1000)
            for model_id in eviction.expired(self._residents.usages(), now=self._clock.now()):
                self._residents.drain(self._residents.entries[model_id], reason="TtlExpired", asked=False)
            for model_id in list(self._residents.missing):
                self._load_missing(model_id)


async def _finish(load: ModelLoad) -> None:
    """Wait for a load; a cancelled wait does not cancel the load."""
    await load.ended.wait()
    if load.error:
        raise copy.copy(load.error)  # one for each waiting caller, with its own traceback
