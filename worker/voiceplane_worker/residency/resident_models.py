"""The models of one worker: their entries, admission to the shared capacity, draining and closing.

Confined to the event loop, see `model_entry`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from voiceplane_common.errors import VoiceplaneError, exhausted, not_found
from voiceplane_common.logs import get_logger

from voiceplane_worker.residency import admission
from voiceplane_worker.residency.async_waits import Signal, complete
from voiceplane_worker.residency.eviction import ModelUsage
from voiceplane_worker.residency.model_entry import ModelEntry, ModelGeneration, ModelLoad
from voiceplane_worker.residency.model_reference import ModelReference
from voiceplane_worker.residency.model_spec import ModelSpec, Residency
from voiceplane_worker.residency.model_status import ModelState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from voiceplane_common.clock import Clock

    from voiceplane_worker.adapters.base import Model
    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.packs.catalog import PackCatalog
    from voiceplane_worker.settings import ModelManagerSection

T = TypeVar("T")

_log = get_logger("models")


class Closer(Protocol):
    """Frees models."""

    async def close(self, model: Model) -> None:
        """Free a model that is no longer in use."""
        ...


class ResidentModels:
    """The entries of all models, and the capacity that they share.

    Attributes:
        entries: By model id.
        signal: Fires after each change.
        missing: Default and preloaded models that have not been resident yet; the worker's readiness waits for them.
    """

    def __init__(
        self,
        *,
        settings: ModelManagerSection,
        catalog: PackCatalog,
        closer: Closer,
        clock: Clock,
        metrics: Metrics,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._closer = closer
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._tasks: set[asyncio.Task[Any]] = set()
        self.signal = Signal()
        self.entries: dict[str, ModelEntry] = {}
        self.missing = dict.fromkeys(filter(None, (settings.default_model_id, *settings.preload_model_ids)))
        self._at_start = frozenset(self.missing)

    def find(self, model_id: str) -> ModelEntry:
        """The entry of a known model.

        Raises:
            VoiceplaneError: NOT_FOUND, with the known models.
        """
        if entry := self.entries.get(model_id):
            return entry
        if not model_id:
            raise not_found(
                "model_id",
                "model_id is empty, and the worker has no default_model_id: set one of them",
                reason="NO_DEFAULT",
            )
        known = ", ".join(sorted(self.entries)) or "none"
        message = f"unknown model {model_id!r}: known models are {known}; LoadModel with a source adds one"
        raise not_found("model_id", message, reason="MODEL_NOT_FOUND")

    def adopt_catalog(self) -> None:
        """Add an entry for every model of the catalog."""
        for model_id in self._catalog.model_ids:
            if model_id not in self.entries:
                self.entries[model_id] = ModelEntry(spec=self.first_spec(model_id))

    def first_spec(self, model_id: str) -> ModelSpec:
        """The spec of a model from the settings and the catalog alone."""
        residency = Residency.PRELOAD if model_id in self._at_start else Residency.ON_DEMAND
        known = self._catalog.find(model_id)
        base_model_id = known.metadata.base_model_id if known else None
        return ModelSpec(model_id=model_id, residency=residency, base_model_id=base_model_id or "")

    def usage(self, entry: ModelEntry, incoming: ModelLoad | None = None) -> ModelUsage:
        """A model's snapshot for eviction and admission, without the memory that an incoming load of it adds.

        The base model of an incoming LoRA is protected.
        """
        spec, settings = entry.spec, self._settings
        expected = entry.load.memory_bytes if entry.load and entry.load is not incoming else 0
        wanted = incoming is not None and incoming.spec.base_model_id == entry.model_id
        return ModelUsage(
            model_id=entry.model_id,
            memory_bytes=entry.memory_bytes + expected,
            references=entry.references,
            protected=spec.residency is Residency.PINNED or entry.model_id == settings.default_model_id or wanted,
            stable=entry.state is ModelState.RESIDENT and not entry.load and not entry.abandoned,
            leaving=entry.leaving,
            resident_since=entry.resident_since,
            last_used=entry.last_used if entry.last_used is not None else entry.resident_since,
            ttl_s=(spec.ttl_ms or settings.ttl_ms) / 1000,
            min_residency_s=(spec.min_residency_ms or settings.min_residency_ms) / 1000,
        )

    def usages(self, incoming: ModelLoad | None = None) -> Iterator[ModelUsage]:
        """All models that count against the caps."""
        return (self.usage(entry, incoming) for entry in self.entries.values() if entry.uses_capacity)

    def admit(self, entry: ModelEntry, load: ModelLoad) -> None:
        """Evict models to make room for a load, or refuse the load."""
        for model_id in self._decide(entry, load).evict:
            self.drain(self.entries[model_id], reason="MakingRoom", asked=False)

    def check_room(self, entry: ModelEntry, load: ModelLoad) -> None:
        """Refuse a load that would not fit; evicts nothing yet, since its fetch may take long."""
        self._decide(entry, load)

    def _decide(self, entry: ModelEntry, load: ModelLoad) -> admission.Admission:
        now = self._clock.now()
        decision = admission.admit(
            self.usages(load),
            model_id=entry.model_id,
            memory_bytes=load.memory_bytes,
            cap=self._settings.resident_cap,
            memory_cap_bytes=self._settings.memory_cap_bytes,
            now=now,
        )
        if not decision.fits:
            raise self._no_room(load, decision, now=now)
        return decision

    def _no_room(self, load: ModelLoad, decision: admission.Admission, *, now: float) -> VoiceplaneError:
        settings = self._settings
        blockers = ", ".join(decision.blockers) or "its own older generation"
        limits = f"resident_cap {settings.resident_cap}"
        if settings.memory_cap_bytes:
            limits += f", memory_cap_bytes {settings.memory_cap_bytes}"
        needs = f" ({load.memory_bytes} bytes)" if load.memory_bytes else ""
        message = (
            f"model {load.spec.model_id!r}{needs} does not fit within {limits}: {blockers} can't be evicted, being in "
            "use, pinned, the default model or within the minimum residency; unload one of them or raise the limit"
        )
        retry_ms = None if decision.retry_at is None else max(1, round((decision.retry_at - now) * 1000))
        return exhausted("NO_ROOM", message, field="model_id", retry_after_ms=retry_ms)

    def room_is_free(self, entry: ModelEntry, load: ModelLoad) -> bool:
        """Whether the models that were evicted for a load have been closed."""
        others = [each for each in self.entries.values() if each is not entry]
        if sum(each.in_memory for each in others) >= self._settings.resident_cap:
            return False
        cap = self._settings.memory_cap_bytes
        held = sum(each.memory_bytes for each in (*others, entry))
        return not cap or held + load.memory_bytes <= cap

    def drain(self, entry: ModelEntry, *, reason: str, asked: bool) -> None:
        """Unload a model as soon as it has no references; cancels a load under way.

        Args:
            entry: The model.
            reason: CamelCase.
            asked: For an UnloadModel: new sessions are refused, and what LoadModel declared is forgotten.
        """
        _log.info("model_drains", model_id=entry.model_id, reason=reason, references=entry.references)
        if entry.uses_capacity and not entry.draining:
            self._metrics.model_evictions.labels(model=self._metrics.model(entry.model_id), reason=reason).inc()
        entry.draining, entry.unloading = reason, asked
        if entry.load and entry.load.task:
            entry.load.task.cancel()
        self.settle(entry)

    def add_reference(self, entry: ModelEntry) -> ModelReference:
        """Take a reference on a model."""
        return ModelReference(entry=entry, now=self._clock.now, settle=self.settle)

    def settle(self, entry: ModelEntry) -> None:
        """Close generations that are no longer in use, and end a drain that is complete."""
        if entry.draining and not entry.references:
            entry.retire()
        for generation in entry.open:
            if generation.retired and not generation.uses and not generation.closing:
                generation.closing = True
                self.spawn(self._close_generation(entry, generation))
        if entry.draining and not entry.references and not entry.uses_capacity:
            self._forget(entry)
        self.note()

    def _forget(self, entry: ModelEntry) -> None:
        asked = entry.unloading
        entry.draining, entry.unloading = "", False
        if not asked:
            return
        entry.error, entry.failures, entry.retry_at = None, 0, 0.0
        entry.spec = self.first_spec(entry.model_id)
        if self._catalog.find(entry.model_id) is None and self.entries.get(entry.model_id) is entry:
            del self.entries[entry.model_id]

    async def _close_generation(self, entry: ModelEntry, generation: ModelGeneration) -> None:
        await self.close_model(entry, generation.loaded.model)
        entry.open.remove(generation)
        generation.hold.close()
        self.settle(entry)

    async def close_model(self, entry: ModelEntry, model: Model) -> None:
        """Free a model, even if the caller is cancelled; a failure is logged, since no caller can handle it."""
        began_s = self._clock.now()
        work = asyncio.create_task(self._closer.close(model))
        cancelled = await complete(work)
        label = self._metrics.model(entry.model_id)
        self._metrics.model_unload_seconds.labels(model=label).observe(self._clock.now() - began_s)
        if error := work.exception():
            _log.error("close_failed", model_id=entry.model_id, error=repr(error))
        if cancelled:
            raise asyncio.CancelledError

    def note(self) -> None:
        """Notify the waiting tasks and the state feed of a change."""
        self.signal.fire()
        self._changed()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task that is kept until it has ended."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
