"""Follows the models file while the worker runs: new entries are declared or loaded, removed ones unloaded.

Entries that an operator wrote (they have a declaration) count at the start only: the operator calls LoadModel for each
change, and its file may arrive much later.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

from voiceplane_worker.residency.model_spec import Residency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_common.clock import Clock

    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.residency.model_manager import ModelManager
    from voiceplane_worker.residency.model_spec import ModelSpec

CHECK_INTERVAL_S = 1.0
# An entry of the file is complete: with a declaration, a field that was removed from it loses its former value.
DECLARATION = "models_file"

_log = get_logger("models")


class ModelsFileWatcher:
    """Watches one models file. Confined to the event loop."""

    def __init__(
        self,
        file: str,
        *,
        read: Callable[[str], tuple[ModelSpec, ...]],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            file: The models file.
            read: Reads it, blocking; raises VoiceplaneError.
            metrics: Where an unreadable file is reported.
            clock: Monotonic time.
        """
        self._file = Path(file)
        self._read = read
        self._metrics = metrics
        self._clock = clock
        self._entries: dict[str, ModelSpec] = {}
        self._version: tuple[int, int, int] | None = None

    def read_first(self) -> tuple[ModelSpec, ...]:
        """The models at the start; blocking.

        Raises:
            VoiceplaneError: The file can't be read, or is no models file.
        """
        self._version = _version(self._file)
        specs = self._read(str(self._file))
        self._entries = _own(specs)
        self._metrics.models_file_valid.set(1)
        return specs

    async def watch(self, manager: ModelManager) -> None:
        """Apply each change of the file to a manager. While it can't be read, the models stay as they are."""
        while True:
            await self._clock.sleep(CHECK_INTERVAL_S)
            version = await asyncio.to_thread(_version, self._file)
            if version == self._version:
                continue
            try:
                specs = await asyncio.to_thread(self._read, str(self._file))
            except VoiceplaneError as error:
                self._metrics.models_file_valid.set(0)
                _log.error("models_file_kept", file=str(self._file), message=error.message)
            else:
                self._metrics.models_file_valid.set(1)
                await self._apply(_own(specs), manager)
            self._version = version

    async def _apply(self, wanted: dict[str, ModelSpec], manager: ModelManager) -> None:
        before, self._entries = self._entries, wanted
        removed = [model_id for model_id in before if model_id not in wanted]
        changed = [spec for model_id, spec in wanted.items() if before.get(model_id) != spec]
        _log.info("models_file_read", changed=[spec.model_id for spec in changed], removed=removed)
        for model_id in removed:
            try:
                await manager.unload(model_id, drain_timeout_ms=0)  # it goes with its last session
            except VoiceplaneError as error:
                _log.info("models_file_entry_gone", model_id=model_id, reason=error.reason)
        # All are known before the first one is loaded: a LoRA may come before its base model.
        for spec in changed:
            try:
                manager.declare(replace(spec, declaration=DECLARATION))
            except VoiceplaneError as error:
                _log.warning("models_file_entry_failed", model_id=spec.model_id, message=error.message)
        for spec in changed:
            if spec.residency is Residency.ON_DEMAND:
                continue
            try:
                await manager.load(replace(spec, declaration=DECLARATION), no_wait=True)
            except VoiceplaneError as error:
                _log.warning("models_file_entry_failed", model_id=spec.model_id, message=error.message)


def _own(specs: Iterable[ModelSpec]) -> dict[str, ModelSpec]:
    """The entries that no operator wrote, by model id."""
    return {spec.model_id: spec for spec in specs if not spec.declaration}


def _version(file: Path) -> tuple[int, int, int] | None:
    """Identifies a version of the file; an editor or a ConfigMap's volume replaces it, so the inode counts."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
