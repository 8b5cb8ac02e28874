"""The largest load that holds: `python -m bench.capacity [--only NAME …]`; about 4 minutes.

Every session is spoken to without a pause. A load holds if the intervals of paced frames are within 10 ms of 20 ms
(p95) and no frame comes later than its listener needs it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import yaml
from voiceplane_client import WorkerClient

from bench.capacity.listeners import of_orchestrator, of_worker, queue_depths
from bench.capacity.measure import ORCHESTRATOR_BURST_FRAMES, WORKER_BURST_FRAMES, Subject, find, measure
from bench.capacity.search import largest, per_session_hour, projected, saturated
from bench.report import Report, Section
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.capacity.search import Step

STARTS = {"piper": 2, "mock": 8, "orchestrator": 8}
MORE_THAN_ANY = 2000
MOCK = ("--adapter", "mock", "--default-model", "mock")
# Examples of a reader's price, not anybody's offer.
PRICES = (0.05, 0.20, 1.00)
TALK_SHARE = 0.4
UTILIZATION = 0.6


def settings(folder: Path, name: str, **values: object) -> tuple[str, str]:
    """Flags for a file of settings that let in as many as come."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return "--config", str(path)


@contextlib.asynccontextmanager
async def subject(name: str, folder: Path) -> AsyncIterator[Subject]:
    """A program under test."""
    lag = folder / f"{name}.lag"
    lag.touch()
    through = ("bench.capacity.probe", str(lag))
    config = settings(folder, "worker", worker={"max_sessions": MORE_THAN_ANY})
    async with contextlib.AsyncExitStack() as stack:
        if name != "orchestrator":
            flags = MOCK if name == "mock" else ()
            running = processes.worker(*config, *flags, through=through)
            address, process = await stack.enter_async_context(running)
            client = await stack.enter_async_context(WorkerClient(address))
            depths = await stack.enter_async_context(queue_depths(client))
            yield Subject(
                name=f"One worker, {name}",
                pid=process.child.pid,
                lag=lag,
                listen=of_worker(client),
                burst_frames=WORKER_BURST_FRAMES,
                depths=depths,
            )
            return
        workers = [await stack.enter_async_context(processes.worker(*config, *MOCK)) for _ in range(2)]
        limits = dict.fromkeys(("max_sessions", "connections_per_caller", "requests_per_minute"), MORE_THAN_ANY)
        listed = [part for address, _ in workers for part in ("--workers", address)]
        running = processes.orchestrator(*settings(folder, "orchestrator", limits=limits), *listed, through=through)
        server, process = await stack.enter_async_context(running)
        yield Subject(
            name="One orchestrator, two mock workers",
            pid=process.child.pid,
            lag=lag,
            listen=of_orchestrator(server),
            burst_frames=ORCHESTRATOR_BURST_FRAMES,
        )


def table(name: str, steps: list[Step]) -> Section:
    """The steps, by load."""
    section = Section(
        f"{name}: sessions that are spoken to at once",
        ("sessions", "holds", "audio, s/s", "jitter p95, ms", "late frames", "first audio p95, ms", "loop, %",
         "compute, %", "other threads, %", "loop late p95, ms", "queue p95", "listener, %", "listener late p95, ms",
         "machine, %"),
    )  # fmt: skip
    for step in sorted(steps, key=lambda step: step.load):
        shares = (step.loop_share, step.compute_share, step.other_share)
        section.rows.append((
            str(step.load),
            "yes" if step.holds else "no",
            step.audio_rate,
            step.jitter_p95_ms,
            float(step.late_frames),
            step.first_audio_p95_ms,
            *(100 * share for share in shares),
            step.lag_p95_ms,
            "-" if math.isnan(step.queue_p95) else step.queue_p95,
            100 * step.listener_share,
            step.listener_lag_p95_ms,
            100 * step.machine_share,
        ))  # fmt: skip
    held = largest({step.load: step.holds for step in steps})
    too_much = min((step for step in steps if not step.holds), key=lambda step: step.load, default=None)
    beyond = f"at {too_much.load}, what is used up is {saturated(too_much)}" if too_much else "the time was over"
    section.note = f"Holds {held}; {beyond}. The load of the machine was {os.getloadavg()[0]:.1f} at the end."
    if steps:
        most = max(steps, key=lambda step: step.audio_rate)
        alone, ends = projected(most, cores=psutil.cpu_count() or 1)
        section.note += (
            f" By its processor time for each second of audio at {most.load}, it would hold {alone} on a machine "
            f"of its own, without the listener; {ends} would be used up."
        )
    return section


def costs(holds: int) -> Section:
    """What a session costs for an hour."""
    section = Section(
        "A session-hour on a worker",
        ("price of the machine, an hour (an example)", "a session that is always spoken to", "one that is for 40%"),
        note=f"price x share of the time that it is spoken to / ({holds} sessions x {UTILIZATION:.0%} in use)",
    )
    for price in PRICES:
        shares = (1.0, TALK_SHARE)
        cells = [per_session_hour(price, sessions=holds, utilization=UTILIZATION, talk_share=share) for share in shares]
        section.rows.append((f"{price:.2f}", *cells))
    return section


async def run(only: list[str], loads: list[int], *, step_s: float, budget_s: float) -> Report:
    """One program after the other."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for name in only:
            async with subject(name, Path(folder)) as under_test:
                steps = [await measure(under_test, load, step_s=step_s) for load in loads]
                if not loads:
                    steps = await find(under_test, start=STARTS[name], step_s=step_s, budget_s=budget_s)
            report.show(table(under_test.name, steps))
            holds = largest({step.load: step.holds for step in steps})
            if name == "piper" and holds:
                report.show(costs(holds))
    return report


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--loads", nargs="+", type=int, default=[], help="try these, and no search")
    parser.add_argument("--step-s", type=float, default=10.0, help="of each load, besides 2 s in which sessions begin")
    parser.add_argument("--budget-s", type=float, default=72.0, help="for each program")
    parser.add_argument("--json", type=Path, default=Path("bench-results/capacity.json"))
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments.only, arguments.loads, step_s=arguments.step_s, budget_s=arguments.budget_s))
    report.write(arguments.json)


if __name__ == "__main__":
    main()
