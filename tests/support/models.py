"""A catalog and a loader for tests of the model manager: every load waits until the test lets it end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition
from voiceplane_worker.adapters.base import Piece, Samples, Voice
from voiceplane_worker.packs.catalog import CatalogPack
from voiceplane_worker.packs.metadata import PackMetadata
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from voiceplane_worker.adapters.base import Model
    from voiceplane_worker.residency.model_spec import ModelSpec

MODEL_BYTES = 100


@dataclass(eq=False)
class FakeModel:
    """A model that knows whether it was closed."""

    model_id: str
    closed: bool = False
    sample_rate_hz: int = 22_050
    voices: tuple[Voice, ...] = (Voice(name="v", language="en"),)
    memory_bytes: int = MODEL_BYTES
    base: Model | None = None

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        raise NotImplementedError(piece)

    def close(self) -> None:
        raise NotImplementedError


class FakeCatalog:
    """Knows the given models; nothing is on disk."""

    def __init__(self, model_ids: Iterable[str]) -> None:
        self.model_ids = tuple(model_ids)

    def find(self, model_id: str) -> CatalogPack | None:
        return CatalogPack(folder=Path("/"), metadata=metadata(model_id)) if model_id in self.model_ids else None

    def refresh(self) -> dict[str, Exception]:
        return {}


def metadata(model_id: str) -> PackMetadata:
    return PackMetadata.model_validate(
        {
            "model_id": model_id,
            "family": "mock",
            "licence": "CC0-1.0",
            "voices": [{"name": "v", "language": "en"}],
            "memory_bytes": MODEL_BYTES,
        }
    )


@dataclass(eq=False)
class PendingLoad:
    """A load that waits for the test."""

    model_id: str
    outcome: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self) -> None:
        self.outcome.set_result(True)

    def fail(self) -> None:
        self.outcome.set_result(False)


class FakeLoader:
    """Loads when the test lets it, and remembers what it did.

    Attributes:
        pending: Loads under way.
        alive: Models that were handed out and have not been closed.
        started: How many loads of each model have begun.
        specs: What was asked for, in order.
        most_at_once: The most loads that were under way together.
        closed: The models that were closed, in order.
        fetches: What a fetch tells of its progress.
        fetching: While cleared, a fetch stays where it is.
        needs: What a fetch learns that the model needs, in bytes; 0: nothing.
    """

    def __init__(self, *, by_itself: bool = False) -> None:
        self.pending: list[PendingLoad] = []
        self.alive: list[FakeModel] = []
        self.started: dict[str, int] = {}
        self.specs: list[ModelSpec] = []
        self.most_at_once = 0
        self.closed: list[FakeModel] = []
        self.fetches: tuple[tuple[int, int], ...] = ()
        self.fetching = asyncio.Event()
        self.fetching.set()
        self.needs = 0
        self._by_itself = by_itself
        self._begun = asyncio.Event()

    async def next_load(self) -> PendingLoad:
        """The next load that begins, or the one that is under way."""
        if not self.pending:
            self._begun.clear()
            await self._begun.wait()
        return self.pending[0]

    async def fetch(
        self,
        spec: ModelSpec,
        known: CatalogPack | None,
        *,
        fetched: Callable[[int, int], None],
        admit: Callable[[int], None] = lambda _: None,
    ) -> VoicePack:
        del known
        if self.needs:
            admit(self.needs)
        for done, total in self.fetches:
            fetched(done, total)
            await self.fetching.wait()
        await asyncio.sleep(0)
        return VoicePack(path=Path("/"), metadata=metadata(spec.model_id), sha256="0" * 64)

    async def load(self, pack: VoicePack, spec: ModelSpec, *, base: Model | None = None) -> Model:
        del pack
        assert base is None or base in self.alive, "attached to a base that is closed"
        load = PendingLoad(spec.model_id)
        assert all(other.model_id != spec.model_id for other in self.pending), "two loads of one model at once"
        self.started[spec.model_id] = self.started.get(spec.model_id, 0) + 1
        self.specs.append(spec)
        self.pending.append(load)
        self._begun.set()
        self.most_at_once = max(self.most_at_once, len(self.pending))
        if self._by_itself:
            load.succeed()
        try:
            succeeded = await load.outcome
        finally:
            self.pending.remove(load)
        if not succeeded:
            raise failed_precondition("PACK_INVALID", "the test wanted it to fail")
        model = FakeModel(spec.model_id, base=base)
        self.alive.append(model)
        return model

    async def warm_up(self, model: Model, pack: VoicePack) -> float:
        del model, pack
        await asyncio.sleep(0)
        return 0.0

    async def close(self, model: Model) -> None:
        assert isinstance(model, FakeModel)
        assert not model.closed, "closed twice"
        assert all(other.base is not model for other in self.alive), "closed before its adapters"
        model.closed = True
        self.alive.remove(model)
        self.closed.append(model)
        await asyncio.sleep(0)
