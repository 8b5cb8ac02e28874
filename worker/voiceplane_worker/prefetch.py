"""Fetches the packs of a worker's models into the cache without serving: `voiceplane-worker --prefetch-only`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.artifacts import FetchLimits
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.models_file import read_models_file

if TYPE_CHECKING:
    from voiceplane_common.artifacts import FetchProgress

    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.settings import WorkerSettings

REPORTED_BYTES = 100_000_000
_log = get_logger("prefetch")


def prefetch(settings: WorkerSettings) -> tuple[str, ...]:
    """Fetch the default, the preloaded and the declared models, one after the other. Blocking.

    Models of families that are not installed here are left to the workers that have them.

    Returns:
        The models that could not be fetched; the log says why.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: the models file or the folder of packs can't be read.
    """
    worker = settings.worker
    catalog = PackCatalog(worker.packs_dir)
    failed = []
    held: list[VoicePack] = []  # so that no other process prunes one before all are here
    for spec in _specs(settings):
        try:
            known = catalog.find(spec.model_id)
            family = spec.family or (known.metadata.family if known else "")
            if family and family not in plugins.families():
                _log.warning("model_skipped", model_id=spec.model_id, family=family, remedy=plugins.remedy(family))
                continue
            pack = open_pack(
                spec,
                known,
                credentials_dir=Path(worker.credentials_dir) if worker.credentials_dir else None,
                accept_licences=worker.accept_licences,
                private_sources=worker.private_sources,
                progress=_Progress(spec.model_id),
                limits=FetchLimits(stall_s=settings.model_manager.fetch_stall_timeout_ms / 1000),
                opens=plugins.opens,
            )
        except VoiceplaneError as error:
            _log.error("prefetch_failed", model_id=spec.model_id, reason=error.reason, message=error.message)
            failed.append(spec.model_id)
            continue
        held.append(pack)
        _log.info("model_prefetched", model_id=spec.model_id, size_bytes=pack.size_bytes, sha256=pack.sha256)
    return tuple(failed)


def _specs(settings: WorkerSettings) -> list[ModelSpec]:
    """What is to be fetched; the models file describes a model in more detail than its name alone."""
    manager = settings.model_manager
    specs = {
        model_id: ModelSpec(model_id=model_id)
        for model_id in (manager.default_model_id, *manager.preload_model_ids)
        if model_id
    }
    if settings.worker.models_file:
        specs |= {spec.model_id: spec for spec in read_models_file(settings.worker.models_file)}
    return list(specs.values())


class _Progress:
    """Logs how far a fetch is, every 100 MB."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id
        self._due_bytes = REPORTED_BYTES

    def __call__(self, done: FetchProgress) -> None:
        if done.done_bytes < self._due_bytes:
            return
        self._due_bytes = done.done_bytes + REPORTED_BYTES
        _log.info(
            "model_fetching",
            model_id=self._model_id,
            fetched_bytes=done.done_bytes,
            fetch_bytes=done.total_bytes,
            bytes_per_s=round(done.bytes_per_s),
        )
