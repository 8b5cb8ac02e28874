"""The record of one model: its spec, references, generations, and the load under way.

Confined to the event loop: it changes between two awaits, never from a thread.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voiceplane_worker.residency.fetch_state import FetchState, Prefetch
from voiceplane_worker.residency.model_status import ModelState

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.adapters.base import Model
    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.residency.model_spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A resident model.

    Attributes:
        gain_db: The gain that brings this voice's warm-up speech to the target loudness.
        generation: Which load of this model it is, from 1.
    """

    model: Model
    gain_db: float
    generation: int
    pack: VoicePack


@dataclass(slots=True, kw_only=True, eq=False)
class ModelGeneration:
    """One load of a model, with the number of its current uses.

    Attributes:
        hold: References to other models, such as a LoRA's base; released when the model has been closed.
    """

    loaded: LoadedModel
    uses: int = 0
    retired: bool = False
    closing: bool = False
    hold: ExitStack = field(default_factory=ExitStack)


@dataclass(slots=True, kw_only=True, eq=False)
class ModelLoad:
    """A load under way.

    Attributes:
        memory_bytes: Expected memory of the model; 0 while it is unknown.
        fetch: How far its fetch is.
        ended: Set after it has succeeded, failed or been cancelled, and the entry is up to date.
        error: Why it failed.
    """

    spec: ModelSpec
    started: float
    phase: ModelState = ModelState.FETCHING
    memory_bytes: int = 0
    fetch: FetchState = field(default_factory=FetchState)
    task: asyncio.Task[VoiceplaneError | None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    error: VoiceplaneError | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ModelEntry:
    """One model.

    Attributes:
        spec: The resident model, or the last request.
        references: Number of ModelReferences, including those of callers that wait for the load.
        serving: The generation for new uses.
        open: Every generation that has not been closed, the serving one included.
        load: The load under way.
        abandoned: Loads that have timed out and whose threads still run: they still count against the caps.
        draining: Why the model is being unloaded; empty if it is not.
        unloading: The drain is an UnloadModel and not an eviction.
        error: Why the last load failed; beside a serving generation, why the last RELOAD failed.
        failed_declaration: Of that load.
        failures: Loads that failed since the last that succeeded.
        retry_at: Monotonic seconds before which a session does not start another load.
        prefetch: The fetch of its pack ahead of a load; None if the worker does none.
    """

    spec: ModelSpec
    references: int = 0
    serving: ModelGeneration | None = None
    open: list[ModelGeneration] = field(default_factory=list)
    load: ModelLoad | None = None
    abandoned: list[ModelLoad] = field(default_factory=list)
    draining: str = ""
    unloading: bool = False
    error: VoiceplaneError | None = None
    failed_declaration: str = ""
    failures: int = 0
    retry_at: float = 0.0
    generation: int = 0
    resident_since: float = 0.0
    last_used: float | None = None
    load_seconds: float = 0.0
    prefetch: Prefetch | None = None

    @property
    def model_id(self) -> str:
        """The model."""
        return self.spec.model_id

    @property
    def state(self) -> ModelState:
        """The state, as in the gRPC API."""
        if self.draining:
            return ModelState.DRAINING
        if self.serving:
            return ModelState.RESIDENT
        if self.load:
            return self.load.phase
        return ModelState.FAILED if self.error else ModelState.ABSENT

    @property
    def memory_bytes(self) -> int:
        """Memory of its open generations, and the expected memory of abandoned loads."""
        held = sum(each.loaded.model.memory_bytes for each in self.open)
        return held + sum(load.memory_bytes for load in self.abandoned)

    @property
    def uses_capacity(self) -> bool:
        """Whether it counts against the caps: it is loaded, or admitted for a load."""
        return bool(self.open or self.load or self.abandoned)

    @property
    def in_memory(self) -> bool:
        """Whether anything of it is in memory."""
        loading = self.load is not None and self.load.phase is not ModelState.FETCHING
        return bool(self.open or loading or self.abandoned)

    @property
    def leaving(self) -> bool:
        """Whether it will be closed for certain: it drains, and has no reference and no load."""
        return bool(self.draining) and not self.references and not self.load and not self.abandoned

    def retire(self) -> None:
        """Stop giving the serving generation to new uses."""
        if self.serving:
            self.serving.retired = True
            self.serving = None

    def serve(self, loaded: LoadedModel, *, load: ModelLoad, hold: ExitStack, now: float) -> None:
        """Make a newly loaded generation the serving one."""
        self.retire()
        self.serving = ModelGeneration(loaded=loaded, hold=hold)
        self.open.append(self.serving)
        self.spec = load.spec
        self.generation = loaded.generation
        self.error, self.failures, self.retry_at = None, 0, 0.0
        self.resident_since = now
        self.last_used = now
        self.load_seconds = now - load.started

    def fail(self, error: VoiceplaneError, *, declaration: str, retry_at: float) -> None:
        """Record a failed load and its declaration."""
        self.error = error
        self.failed_declaration = declaration
        self.failures += 1
        self.retry_at = retry_at
