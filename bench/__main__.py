"""Run the benches: `python -m bench [--rounds N] [--only NAME ...]`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from bench.barge_in import barge_in
from bench.conversation import interruptions
from bench.first_audio import first_audio, real_time_factor
from bench.report import Report
from bench.streams import streams
from tests.support import processes
from tests.support.speech import SENTENCES, synthesize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BENCHES = ("first-audio", "rtf", "streams", "barge-in", "conversation")


def recordings() -> list[NDArray[np.float32]]:
    """Interruptions, spoken by another voice than ours, at 16 kHz."""
    return [synthesize(text) for text in SENTENCES]


async def run(only: list[str], *, rounds: int) -> Report:
    """Run the benches that are named, all on one worker and one orchestrator."""
    report = Report()
    metrics_port = processes.free_port()
    async with (
        processes.worker("--metrics-port", str(metrics_port)) as (address, worker),
        processes.orchestrator("--workers", address) as (server, _),
    ):
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        if "first-audio" in only:
            report.show(await first_audio(address, server, rounds=rounds))
        if "rtf" in only:
            report.show(await real_time_factor(address, metrics, worker, rounds=max(3, rounds // 4)))
        if "streams" in only:
            report.show(await streams(address, rounds=rounds))
        if "barge-in" in only:
            for section in await barge_in(address, worker, rounds=rounds):
                report.show(section)
        if "conversation" in only:
            report.show(await interruptions(server, recordings(), rounds=rounds))
    return report


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="repetitions of each measurement")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--json", type=Path, default=Path("bench-results/bench.json"))
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments.only, rounds=arguments.rounds))
    report.write(arguments.json)


if __name__ == "__main__":
    main()
