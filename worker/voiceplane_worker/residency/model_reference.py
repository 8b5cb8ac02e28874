"""Reference counting: a session's reference to a model."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from voiceplane_common.errors import unavailable

from voiceplane_worker.residency.voice_catalog import voice_catalog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_worker.residency.model_entry import LoadedModel, ModelEntry, ModelGeneration
    from voiceplane_worker.residency.voice_catalog import VoiceCatalog


class ModelReference:
    """One session's reference to a model, which is not unloaded while it is held. For the event loop only."""

    def __init__(self, *, entry: ModelEntry, now: Callable[[], float], settle: Callable[[ModelEntry], None]) -> None:
        """Take the reference.

        Args:
            entry: The model.
            now: Monotonic seconds.
            settle: Called after a reference or a use begins or ends.
        """
        self._entry = entry
        self._now = now
        self._settle = settle
        self._released = False
        entry.references += 1
        self.touch()
        settle(entry)

    @property
    def model_id(self) -> str:
        """The model."""
        return self._entry.model_id

    @property
    def voice_catalog(self) -> VoiceCatalog:
        """The voices and languages for sessions; only while the model is resident."""
        return voice_catalog_of(self._entry.spec, self._serving.loaded.model.voices)

    @contextlib.contextmanager
    def use(self) -> Iterator[LoadedModel]:
        """Hold the current generation for one utterance.

        After a RELOAD the next use gets the new generation. The old one is closed when its last use ends, even if the
        reference was released before.

        Raises:
            VoiceplaneError: UNAVAILABLE, MODEL_LOST: its process crashed, and its new load has not finished.
        """
        serving = self._serving
        serving.uses += 1
        self.touch()
        try:
            yield serving.loaded
        finally:
            serving.uses -= 1
            self.touch()
            if serving.retired:
                self._settle(self._entry)

    @property
    def _serving(self) -> ModelGeneration:
        if self._released:
            raise RuntimeError(f"the reference to {self.model_id} was released")
        if self._entry.serving is None:
            message = f"model {self.model_id!r} crashed and is being loaded again: retry, or use another worker"
            raise unavailable("MODEL_LOST", message, retry_after_ms=1_000)
        return self._entry.serving

    def touch(self) -> None:
        """Record that the model is used now."""
        self._entry.last_used = self._now()

    def release(self) -> None:
        """Release the reference. Idempotent."""
        if self._released:
            return
        self._released = True
        self.touch()
        self._entry.references -= 1
        self._settle(self._entry)
