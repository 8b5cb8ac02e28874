"""Builds the ModelStatus of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_worker.residency.model_status import ModelState, ModelStatus
from voiceplane_worker.residency.voice_catalog import expected_voice_catalog, voice_catalog_of

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.packs.metadata import PackMetadata
    from voiceplane_worker.residency.eviction import ModelUsage
    from voiceplane_worker.residency.fetch_state import FetchState, Prefetch
    from voiceplane_worker.residency.model_entry import ModelEntry
    from voiceplane_worker.residency.voice_catalog import VoiceCatalog


def build_status(
    entry: ModelEntry,
    *,
    usage: ModelUsage,
    known: PackMetadata | None,
    is_default: bool,
    wall_offset: float,
    problem: VoiceplaneError | None = None,
) -> ModelStatus:
    """The status of one model.

    Args:
        entry: The model.
        usage: Its snapshot for eviction.
        known: Its metadata in the catalog.
        is_default: Whether it is the default model.
        wall_offset: Unix seconds minus monotonic seconds.
        problem: Why this worker can never load it; None if it can.
    """
    loaded = entry.serving.loaded if entry.serving else None
    metadata = loaded.pack.metadata if loaded else known
    catalog = voice_catalog_of(entry.spec, loaded.model.voices) if loaded else _expected(entry, known)
    resident = entry.state is ModelState.RESIDENT
    fetch, prefetch = _fetch_of(entry), _prefetch_of(entry)
    return ModelStatus(
        model_id=entry.model_id,
        family=metadata.family if metadata else entry.spec.family,
        state=entry.state,
        reason=_reason(entry) or (_camel_case(problem.reason) if problem else ""),
        message=_message(entry, problem),
        unloadable=problem is not None,
        references=entry.references,
        residency=entry.spec.residency,
        is_default=is_default,
        memory_bytes=entry.memory_bytes,
        resident_since=entry.resident_since + wall_offset if loaded else None,
        last_used=None if entry.last_used is None else entry.last_used + wall_offset,
        expires_at=usage.expires_at + wall_offset if resident and usage.idle else None,
        voices=catalog.voices,
        languages=catalog.languages,
        sha256=loaded.pack.sha256 if loaded else "",
        generation=entry.generation,
        load_duration_ms=round(entry.load_seconds * 1000),
        base_model_id=entry.spec.base_model_id,
        declaration=_declaration(entry),
        fetched_bytes=fetch.done_bytes if fetch else 0,
        fetch_bytes=fetch.total_bytes if fetch else 0,
        fetch_bytes_per_s=fetch.bytes_per_s if fetch else 0,
        prefetched=prefetch is not None and prefetch.pack is not None,
    )


def _fetch_of(entry: ModelEntry) -> FetchState | None:
    """The fetch under way, ahead of a load or for it."""
    if entry.state is ModelState.FETCHING and entry.load:
        return entry.load.fetch
    prefetch = _prefetch_of(entry)
    return prefetch.state if prefetch and not prefetch.pack and not prefetch.error else None


def _prefetch_of(entry: ModelEntry) -> Prefetch | None:
    return entry.prefetch if entry.state in {ModelState.ABSENT, ModelState.FAILED} else None


def _declaration(entry: ModelEntry) -> str:
    """The last declaration, though older content may serve until that is loaded."""
    if entry.load:
        return entry.load.spec.declaration
    return entry.failed_declaration if entry.error and entry.serving else entry.spec.declaration


def _reason(entry: ModelEntry) -> str:
    if entry.draining:
        return entry.draining
    if entry.load and entry.serving:
        return "Reloading"
    if entry.error is None:
        prefetch = _prefetch_of(entry)
        return "PrefetchFailed" if prefetch and prefetch.error else ""
    if entry.serving:
        return "ReloadFailed"
    return _camel_case(entry.error.reason)


def _camel_case(reason: str) -> str:
    return reason.title().replace("_", "")


def _message(entry: ModelEntry, problem: VoiceplaneError | None) -> str:
    if entry.draining:
        return ""
    prefetch = _prefetch_of(entry)
    error = entry.error or (prefetch.error if prefetch else None) or problem
    return error.message if error else ""


def _expected(entry: ModelEntry, known: PackMetadata | None) -> VoiceCatalog:
    return expected_voice_catalog(entry.spec, known.voices if known else ())
