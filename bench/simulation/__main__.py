"""Simulate routing at scale: `python -m bench.simulation [--scale 0.1] [--only NAME …] [--plots FOLDER]`."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.report import Report, Section
from bench.simulation import choosing
from bench.simulation.plots import Axis, lines
from bench.simulation.policies import POLICIES
from bench.simulation.run import simulate
from bench.simulation.scenarios import SCENARIOS
from bench.simulation.traffic import Cluster, snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.simulation.policies import Policy
    from bench.simulation.run import Outcome
    from bench.simulation.scenarios import Scenario

ORCHESTRATORS = (1, 3, 10, 30)
WORKERS = (10, 100, 1000, 3000)
SLICES = 50

Runs = dict[tuple["Scenario", "Policy"], "Outcome"]


def scaled(scenario: Scenario, scale: float) -> Scenario:
    """As many workers, pools, sessions and orchestrators less."""
    return replace(
        scenario,
        workers=round(scenario.workers * scale),
        sessions=round(scenario.sessions * scale),
        pools=max(1, round(scenario.pools * scale)),
        models=max(1, round(scenario.models * scale)),
        orchestrators=max(1, round(scenario.orchestrators * scale)),
    )


def run_all(scenarios: Sequence[Scenario], *, seed: int, processes: int) -> Runs:
    """Each scenario with each policy."""
    runs = [(scenario, policy) for scenario in scenarios for policy in POLICIES]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        outcomes = pool.map(partial(simulate, seed=seed), runs)
        return dict(zip(runs, outcomes, strict=True))


def routing(runs: Runs, scenario: Scenario) -> Section:
    """One scenario's table."""
    section = Section(
        f"Routing: {scenario.name} ({scenario.workers:,} workers, {scenario.sessions:,} sessions)",
        ("policy", "imbalance", "queueing p95, ms", "p99, ms", "waited for a load", "p95, s", "fallback", "retried",
         "refused", "rerouted"),
        note="Imbalance: the busiest hundredth of the workers' compute over the mean.",
    )  # fmt: skip
    for (each, policy), outcome in runs.items():
        if each == scenario:
            waits = outcome.load_waits_s
            section.rows.append((
                policy,
                outcome.imbalance,
                outcome.queueing_p95_ms,
                float(np.percentile(outcome.queueing_ms, 99)),
                float(len(waits)),
                float(np.percentile(waits, 95)) if waits else 0.0,
                float(outcome.fallback),
                float(outcome.retried),
                float(outcome.refused),
                float(outcome.rerouted),
            ))  # fmt: skip
    return section


def choices() -> tuple[Section, list[tuple[float, float]]]:
    """What a choice costs, by the number of workers."""
    costs = [(float(workers), choosing.choice_us(workers)) for workers in choosing.COUNTS]
    section = Section("One choice, CPU", ("workers", "µs", "choices a second on 10% of a core"))
    section.rows = [(f"{workers:,.0f}", us, 1e5 / us) for workers, us in costs]
    return section, costs


def traffic(snapshot_us: float) -> Section:
    """The traffic of snapshots, by the number of orchestrators and workers."""
    size = snapshot().ByteSize()
    section = Section(
        "Registry and API traffic",
        ("workers, orchestrators", "WatchState streams", "snapshots/s to each orchestrator", "MB/s, all",
         "loop of each orchestrator, %", "EndpointSlice events of a restart, all", "MB of them", "Redis heartbeats/s",
         "Redis reads, MB/s"),
        note=f"A snapshot of 10 models is {size} bytes and takes {snapshot_us:.0f} µs to read, besides gRPC's time.",
    )  # fmt: skip
    for workers in WORKERS:
        for orchestrators in ORCHESTRATORS if workers == 1000 else (10,):
            cluster = Cluster(workers=workers, orchestrators=orchestrators, pools=max(1, workers // SLICES))
            told = cluster.snapshots_per_orchestrator_s
            events = cluster.slice_events_of_a_restart * orchestrators
            section.rows.append((
                f"{workers:,}, {orchestrators}",
                float(cluster.streams),
                told,
                told * (orchestrators + 1) * size / 1e6,
                told * snapshot_us / 1e4,
                float(events),
                events * cluster.slice_bytes / 1e6,
                cluster.heartbeats_s,
                cluster.registry_reads_bytes_s / 1e6,
            ))  # fmt: skip
    return section


def draw(runs: Runs, costs: list[tuple[float, float]]) -> dict[str, str]:
    """The plots, by the names of their files."""
    plots = {}
    by_delay: dict[str, list[tuple[float, float]]] = {policy: [] for policy in POLICIES}
    retried: dict[str, list[tuple[float, float]]] = {policy: [] for policy in POLICIES}
    for (scenario, policy), outcome in runs.items():
        if replace(scenario, name="", view_delay_s=0.0) == replace(next(iter(runs))[0], name="", view_delay_s=0.0):
            by_delay[policy].append((scenario.view_delay_s, outcome.imbalance))
            retried[policy].append((scenario.view_delay_s, 100 * outcome.retried / scenario.sessions))
    delays = Axis(name="age of what orchestrators know, s", values=[0, *(x for x, _ in by_delay["random"])])
    for name, title, series in (
        ("imbalance.svg", "Busiest hundredth of the workers over the mean", by_delay),
        ("retried.svg", "Attempts that met a full worker, % of sessions", retried),
    ):
        values = [value for points in series.values() for _, value in points]
        label = "ratio" if name == "imbalance.svg" else "%"
        plots[name] = lines(title, x=delays, y=Axis(name=label, values=values), series=series)
    plots["choice.svg"] = lines(
        "Processor time of one choice",
        x=Axis(name="workers", values=[count for count, _ in costs], log=True),
        y=Axis(name="µs", values=[us for _, us in costs], log=True),
        series={"choose()": costs},
    )
    watched = {
        f"{orchestrators} orchestrators": [
            (float(workers), Cluster(workers=workers, orchestrators=orchestrators).snapshots_per_worker_s
             * Cluster(workers=workers, orchestrators=orchestrators).streams)
            for workers in WORKERS
        ]
        for orchestrators in ORCHESTRATORS[1:]
    }  # fmt: skip
    plots["watch.svg"] = lines(
        "WatchState snapshots a second, all streams",
        x=Axis(name="workers", values=[float(each) for each in WORKERS], log=True),
        y=Axis(name="snapshots/s", values=[value for points in watched.values() for _, value in points], log=True),
        series=watched,
    )
    return plots


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of 1,000 workers and 100,000 sessions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in SCENARIOS], help="scenarios")
    parser.add_argument("--plots", type=Path, help="a folder for SVG files; not with --only")
    parser.add_argument("--json", type=Path, default=Path("bench-results/simulation.json"))
    arguments = parser.parse_args()
    report = Report()
    section, costs = choices()
    report.show(section)
    report.show(traffic(choosing.snapshot_us()))
    scenarios = [scaled(each, arguments.scale) for each in SCENARIOS if each.name in (arguments.only or each.name)]
    runs = run_all(scenarios, seed=arguments.seed, processes=arguments.processes)
    for scenario in scenarios:
        report.show(routing(runs, scenario))
    if arguments.plots and not arguments.only:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        for name, text in draw(runs, costs).items():
            (arguments.plots / name).write_text(text, encoding="utf-8")
    report.write(arguments.json)


if __name__ == "__main__":
    main()
