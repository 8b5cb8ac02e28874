"""Keep a real stack under people and chaos: `python -m bench.soak SECONDS`. Ctrl-C ends it with its report.

Exits with 1 if a criterion does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Report
from bench.soak.chaos import Chaos
from bench.soak.people import Person
from bench.soak.schedule import SERVERS, mishaps
from bench.soak.stack import FAMILY_MODELS, Stack, stack
from bench.soak.summary import MIB, Criteria, Soak
from bench.soak.trend import Flatness
from bench.soak.turns import Tally
from bench.soak.watch import Watch, left_behind
from tests.support.redis_server import RedisServer


def parser() -> argparse.ArgumentParser:
    """What one can say."""
    reads = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    reads.add_argument("seconds", type=float, help="how long people talk")
    reads.add_argument("--seed", type=int, default=1, help="of the mishaps and of what people do")
    reads.add_argument("--people", type=int, default=6, help="who talk at once")
    reads.add_argument("--families", nargs="+", choices=sorted(FAMILY_MODELS), default=["piper", "piper", "mock"])
    reads.add_argument("--orchestrators", type=int, default=1)
    reads.add_argument("--livekit", action="store_true", help="have a LiveKit server, too, and restart it")
    reads.add_argument("--redis", action="store_true", help="find workers through a Redis, and restart it")
    reads.add_argument("--mishap-every-s", type=float, default=20.0, help="on average")
    reads.add_argument("--sample-every-s", type=float, default=5.0)
    reads.add_argument("--settle-s", type=float, default=30.0, help="for sessions to end when everybody has gone")
    reads.add_argument("--min-availability", type=float, default=99.9, help="percent")
    reads.add_argument("--max-leaked", type=int, default=0, help="sessions, utterances and references left at the end")
    reads.add_argument("--warm-up-s", type=float, default=120.0, help="of each process that is not judged")
    reads.add_argument("--min-judged-s", type=float, default=300.0, help="after it; a shorter life is not judged")
    reads.add_argument("--max-growth", type=float, default=5.0, help="percent of the mean that is still flat")
    reads.add_argument("--max-growth-mib", type=float, default=16.0, help="of memory that is still flat")
    reads.add_argument("--max-growth-files", type=float, default=8.0, help="file descriptors that are still flat")
    reads.add_argument("--json", type=Path, default=Path("bench-results/soak.json"))
    reads.add_argument("--logs", type=Path, help="a folder to keep the programs' settings and logs in")
    return reads


def criteria(options: argparse.Namespace) -> Criteria:
    """What the options ask for."""

    def flatness(growth_floor: float) -> Flatness:
        return Flatness(
            warm_up_s=options.warm_up_s,
            min_span_s=options.min_judged_s,
            growth_percent=options.max_growth,
            growth_floor=growth_floor,
        )

    return Criteria(
        min_availability_percent=options.min_availability,
        max_leaked=options.max_leaked,
        memory=flatness(options.max_growth_mib * MIB),
        open_files=flatness(options.max_growth_files),
    )


async def soak(options: argparse.Namespace) -> Soak:
    """Start the stack, let people talk while things go wrong, and look at what is left."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopping.set)
    async with contextlib.AsyncExitStack() as exits:
        folder = options.logs or Path(exits.enter_context(tempfile.TemporaryDirectory()))
        livekit = None
        if options.livekit:
            # Only here: no one else needs its library.
            from tests.support.livekit import livekit_server  # noqa: PLC0415

            livekit = await exits.enter_async_context(livekit_server())
        redis = await exits.enter_async_context(RedisServer(folder)) if options.redis else None
        running = await exits.enter_async_context(
            stack(
                folder,
                families=options.families,
                orchestrators=options.orchestrators,
                livekit=livekit,
                redis=redis,
            )
        )
        print(f"{options.people} people talk for {options.seconds:g} s; Ctrl-C ends that with the report", flush=True)
        return await _talk(running, options, stopping=stopping)


async def _talk(running: Stack, options: argparse.Namespace, *, stopping: asyncio.Event) -> Soak:
    tally, watch, chaos = Tally(), Watch(running.members), Chaos(running)
    planned = mishaps(
        seed=options.seed,
        seconds=options.seconds,
        every_s=options.mishap_every_s,
        workers=[*running.workers][1:],  # the first one lives as long as the soak, so that its memory can be judged
        servers=[name for name in SERVERS if getattr(options, name)],
    )
    servers = [each.address for each in running.orchestrators]
    people = [
        Person(
            servers[number % len(servers)],
            chance=random.Random(f"{options.seed}-{number}"),
            tally=tally,
            stopping=stopping,
        )
        for number in range(options.people)
    ]
    looking = asyncio.create_task(watch.look(every_s=options.sample_every_s))
    began_s = time.monotonic()
    ending = asyncio.get_running_loop().call_later(options.seconds, stopping.set)
    try:
        await asyncio.gather(chaos.run(planned, stopping=stopping), *(person.live() for person in people))
        lasted_s = time.monotonic() - began_s
        left = await left_behind(running, settle_s=options.settle_s)
    finally:
        ending.cancel()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return Soak(
        lasted_s=lasted_s,
        seed=options.seed,
        tally=tally,
        done=chaos.done,
        samples=watch.samples,
        left=left,
        deaths={member.name: member.deaths for member in running.members if member.deaths},
        criteria=criteria(options),
    )


def main() -> None:
    """Entry point."""
    options = parser().parse_args()
    if options.logs:
        options.logs.mkdir(parents=True)
    found = asyncio.run(soak(options))
    report = Report()
    for section in found.sections():
        report.show(section)
    report.write(options.json, figures=found.figures())
    sys.exit(0 if found.passed else 1)


if __name__ == "__main__":
    main()
