"""Fetches the packs of declared models ahead, one after the other, so that a later load needs no network.

A pack that was prefetched is held in the cache until its model is loaded, declared otherwise or forgotten.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

from voiceplane_worker.residency.async_waits import end, ends_within
from voiceplane_worker.residency.fetch_state import Prefetch
from voiceplane_worker.residency.load_errors import backoff_s
from voiceplane_worker.residency.model_status import ModelState

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

    from voiceplane_worker.packs.catalog import PackCatalog
    from voiceplane_worker.residency.load_runner import Loader
    from voiceplane_worker.residency.model_entry import ModelEntry
    from voiceplane_worker.residency.resident_models import ResidentModels

IDLE_S = 3600.0
_log = get_logger("models")


class Prefetcher:
    """Fetches what is declared and neither resident nor being loaded."""

    def __init__(self, *, residents: ResidentModels, catalog: PackCatalog, loader: Loader, clock: Clock) -> None:
        self._residents = residents
        self._catalog = catalog
        self._loader = loader
        self._clock = clock

    async def run(self) -> None:
        """Prefetch until it is cancelled. A failure is a state of the model, and is tried again after a pause."""
        while True:
            if entry := self._next():
                await self._fetch(entry)
                continue
            changed = asyncio.create_task(self._residents.signal.until(lambda: self._next() is not None))
            pause_s = min((each - self._clock.now() for each in self._retries()), default=IDLE_S)
            try:
                await ends_within(changed, clock=self._clock, seconds=max(0.0, pause_s))
            finally:
                await end(changed)

    def _next(self) -> ModelEntry | None:
        """The next model to fetch; forgets what is not wanted any more."""
        found = None
        for entry in self._residents.entries.values():
            if not _is_wanted(entry):
                entry.prefetch = None
                continue
            if entry.prefetch is None or entry.prefetch.source != entry.spec.source:
                entry.prefetch = Prefetch(source=entry.spec.source)
            waits = entry.prefetch.pack is not None or self._clock.now() < entry.prefetch.retry_at
            if not waits and found is None:
                found = entry
        return found

    def _retries(self) -> list[float]:
        prefetches = [entry.prefetch for entry in self._residents.entries.values()]
        return [each.retry_at for each in prefetches if each and each.error and not each.pack]

    async def _fetch(self, entry: ModelEntry) -> None:
        prefetch, spec = entry.prefetch, entry.spec
        if prefetch is None:
            return

        def fetched(done: int, total: int) -> None:
            prefetch.state.note(done, total, now=self._clock.now())
            self._residents.note()

        known = self._catalog.find(spec.model_id)
        try:
            prefetch.pack = await self._loader.fetch(spec, known, fetched=fetched, admit=lambda _: None)
            prefetch.error, prefetch.failures = None, 0
            _log.info("model_prefetched", model_id=spec.model_id, size_bytes=prefetch.pack.size_bytes)
        except VoiceplaneError as error:
            prefetch.error = error
            prefetch.failures += 1
            prefetch.retry_at = self._clock.now() + backoff_s(prefetch.failures)
            _log.warning("prefetch_failed", model_id=spec.model_id, reason=error.reason, message=error.message)
        self._residents.note()


def _is_wanted(entry: ModelEntry) -> bool:
    """Whether a model was declared, and its load would have to fetch."""
    declared = entry.spec.source is not None or bool(entry.spec.declaration)
    return declared and entry.state in {ModelState.ABSENT, ModelState.FAILED} and not entry.uses_capacity
