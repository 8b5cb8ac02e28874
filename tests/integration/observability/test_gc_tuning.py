"""Programs that are ready leave what they began with out of garbage collections, which would stop their event loops."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import processes
from tests.support.heap_report import REPORT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes import Process

pytestmark = pytest.mark.timeout(120)

REPORTING = ("tests.support.heap_report",)
LIBRARIES = 50_000
"""Objects that the libraries of either program bring, at least."""


async def settled(process: Process, report: Path) -> dict[str, int]:
    """What a program tells once it has settled: that comes a little after it is ready."""
    while True:
        process.child.send_signal(signal.SIGUSR1)
        await asyncio.sleep(processes.POLL_S)
        told = await asyncio.to_thread(read, report)
        if told["left_out"]:
            return told


def read(report: Path) -> dict[str, int]:
    """The latest report; nothing, before the first one."""
    try:
        told: dict[str, int] = json.loads(report.read_text())
    except FileNotFoundError:
        return {"left_out": 0}
    report.unlink()  # the next program's is not to be taken for this one's
    return told


async def test_a_worker_and_an_orchestrator_that_are_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "heap.json"
    monkeypatch.setenv(REPORT, str(report))
    async with processes.worker(through=REPORTING) as (address, worker):
        told = await settled(worker, report)
        assert told["left_out"] > LIBRARIES
        assert told["looked_at"] < told["left_out"] / 20
        async with processes.orchestrator("--workers", address, through=REPORTING) as (_, orchestrator):
            told = await settled(orchestrator, report)
            assert told["left_out"] > LIBRARIES
            assert told["looked_at"] < told["left_out"] / 20
