"""What `voiceplane models load` shows while a model is fetched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_cli.inventory import change
from voiceplane_cli.model_info import ModelInfo, Placement

from tests.support import virtual_time

if TYPE_CHECKING:
    from voiceplane_cli.model_declaration import ModelDeclaration
    from voiceplane_cli.model_info import WorkerInfo
    from voiceplane_cli.orchestrator_client import Action

MEGABYTE = 1_000_000


class SlowSource:
    """An inventory whose model is fetched at 2 MB in each look, then loaded."""

    def __init__(self) -> None:
        self.looks = 0
        self.resident = asyncio.Event()

    async def models(self) -> list[ModelInfo]:
        self.looks += 1
        done = 2 * self.looks * MEGABYTE
        if done >= 8 * MEGABYTE:
            self.resident.set()
        state = "resident" if self.resident.is_set() else "fetching"
        place = Placement(
            worker="a:1",
            state=state,
            fetched_bytes=done,
            fetch_bytes=8 * MEGABYTE,
            fetch_bytes_per_s=MEGABYTE,
        )
        return [ModelInfo(model_id="anna", family="csm", workers=(place,))]

    async def workers(self) -> list[WorkerInfo]:
        return []

    async def change(self, model_id: str, action: Action, *, declaration: ModelDeclaration | None = None) -> None:
        del model_id, action, declaration
        await self.resident.wait()


def test_a_fetch_shows_its_bytes_and_its_rate() -> None:
    told: list[str] = []
    model = virtual_time.run(change(SlowSource(), "anna", "load", progress=told.append))
    assert model.state == "resident"
    fetching = [f"anna: fetching {done} MB of 8 MB, 1 MB/s" for done in (2, 4, 6)]
    assert told == [*fetching, "anna: resident"]
