"""A short soak: no one's turn is lost to a worker's death, and the report says so; Ctrl-C ends a long one in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

MOCKS = ("--families", "mock", "mock", "--people", "4")
KILL_SEED = "31"
"""With a mishap each 12 s, its only one within 20 s is a kill."""
REDIS_SEED = "59"
"""Where there is a Redis, that one's only mishap is its restart."""


@contextlib.asynccontextmanager
async def soak(report: Path, seconds: str, *flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A soak in a session of its own, whose people talk."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.soak", seconds, *MOCKS, "--json", str(report), *flags),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        assert b"people talk" in await child.stdout.readline()
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


def figures(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report.read_text())["figures"]
    return found


async def test_no_turn_is_lost_to_a_killed_worker(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    flags = ("--mishap-every-s", "12", "--seed", KILL_SEED, "--sample-every-s", "1", "--warm-up-s", "5")
    async with soak(report, "20", *flags, "--min-judged-s", "5", "--max-growth-mib", "64") as child:
        out, _ = await child.communicate()
    assert child.returncode == 0, out.decode()
    found = figures(report)
    assert found["passed"] is True
    assert found["lasted_s"] >= 20
    assert [(one["action"], one["target"], one["trouble"]) for one in found["mishaps"]] == [("kill", "mock-1", "")]
    assert found["turns_lost"] == 0
    assert found["turns_complete"] >= 8
    assert found["turns_begun"] == found["turns_complete"] + found["turns_cut_off"]
    assert sum(each["turns"] for each in found["outcomes"]) == found["turns_begun"]
    assert found["availability_percent"] == 100
    assert (found["left"], found["deaths"]) == ({}, {})
    for percentiles in found["first_audio_ms"].values():
        assert 0 < percentiles["p50"] <= percentiles["p95"] <= percentiles["p99"]
    lived = {(one["program"], one["number"]): one for one in found["processes"]}
    assert set(lived) == {("mock-0", 1), ("mock-1", 1), ("mock-1", 2), ("orchestrator-0", 1)}
    for figure in ("memory", "open_files"):
        steady = lived["mock-0", 1][figure]
        assert steady["verdict"] == "flat"
        assert 0 < steady["first"] <= steady["highest"]
    assert {(one["program"], one["number"]) for one in found["samples"]} == set(lived)
    assert all(verdict["criterion"] and verdict["holds"] for verdict in found["verdicts"])


async def test_no_turn_is_lost_to_a_redis_that_comes_back_empty(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    async with soak(report, "20", "--redis", "--mishap-every-s", "12", "--seed", REDIS_SEED) as child:
        out, _ = await child.communicate()
    assert child.returncode == 0, out.decode()
    found = figures(report)
    assert [(one["action"], one["trouble"]) for one in found["mishaps"]] == [("redis", "")]
    assert found["turns_lost"] == 0
    assert found["turns_complete"] >= 8
    assert found["left"] == {}


async def test_ctrl_c_ends_it_with_its_report_and_a_criterion_that_does_not_hold_is_reported_by_its_status(
    tmp_path: Path,
) -> None:
    report = tmp_path / "soak.json"
    async with soak(report, "600", "--min-availability", "101") as child:
        family = psutil.Process(child.pid).children(recursive=True)
        assert len(family) == 3
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does it
        out, _ = await child.communicate()
    assert child.returncode == 1, out.decode()
    found = figures(report)
    assert found["lasted_s"] < 100
    assert found["turns_begun"] > 0
    assert found["turns_lost"] == 0
    assert [verdict["criterion"] for verdict in found["verdicts"] if not verdict["holds"]] == [
        "availability is at least 101 %"
    ]
    assert not any(process.is_running() for process in family)
