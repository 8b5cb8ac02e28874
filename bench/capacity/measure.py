"""One step: so many sessions for so long, and what the program under test used meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
from voiceplane_common.frames import FRAME_SECONDS

from bench.capacity import probe
from bench.capacity.listeners import hear_all
from bench.capacity.search import Step, next_load
from bench.capacity.usage import Usage
from bench.report import percentile

if TYPE_CHECKING:
    from pathlib import Path

    from bench.capacity.listeners import Listening
    from bench.speaking import Heard

# Frames that come at once before real time begins: for an orchestrator more, as it keeps half a second ahead.
WORKER_BURST_FRAMES = 5
ORCHESTRATOR_BURST_FRAMES = 25


@dataclass(slots=True, kw_only=True)
class Subject:
    """A program under test.

    Attributes:
        name: As in the tables.
        pid: Its process.
        lag: What its probe writes.
        listen: How a session of it is heard.
        burst_frames: That come before real time begins.
        depths: What it tells of its queue; none for a program that computes nothing.
    """

    name: str
    pid: int
    lag: Path
    listen: Listening
    burst_frames: int
    depths: list[float] = field(default_factory=list)


async def find(subject: Subject, *, start: int, step_s: float, budget_s: float) -> list[Step]:
    """Try loads until the largest that holds is known, or the time is over."""
    ends_s = time.monotonic() + budget_s
    steps: list[Step] = []
    load: int | None = start
    while load is not None and time.monotonic() + step_s < ends_s:
        steps.append(await measure(subject, load, step_s=step_s))
        load = next_load({step.load: step.holds for step in steps}, start=start)
    return steps


async def measure(subject: Subject, load: int, *, step_s: float) -> Step:
    """One step."""
    own: list[float] = []
    sampler = asyncio.create_task(_sample(own))
    psutil.cpu_percent()  # from here on
    subject.depths.clear()
    before, mine, began_s = Usage.of(subject.pid), Usage.of(os.getpid()), time.monotonic()
    try:
        heard = await hear_all(subject.listen, load, seconds=step_s)
    finally:
        sampler.cancel()
    took_s = time.monotonic() - began_s
    after, mine_after = Usage.of(subject.pid), Usage.of(os.getpid())
    spoken = [one for one in heard if len(one.arrivals) > subject.burst_frames + 1]
    return Step(
        load=load,
        utterances=len(spoken),
        audio_rate=sum(len(one.arrivals) for one in heard) * FRAME_SECONDS / took_s,
        jitter_p95_ms=jitter_ms(spoken, burst_frames=subject.burst_frames),
        late_frames=sum(len(one.gaps_ms()) for one in spoken),
        first_audio_p95_ms=percentile([one.first_audio_ms for one in spoken], 95),
        loop_share=(after.loop_s - before.loop_s) / took_s,
        compute_share=(after.compute_s - before.compute_s) / took_s,
        other_share=(after.other_s - before.other_s) / took_s,
        compute_threads=after.compute_threads,
        lag_p95_ms=percentile(probe.read(subject.lag, since_s=began_s), 95),
        queue_p95=percentile(subject.depths, 95),
        listener_share=(mine_after.loop_s - mine.loop_s + mine_after.other_s - mine.other_s) / took_s,
        listener_lag_p95_ms=percentile(own, 95),
        machine_share=psutil.cpu_percent() / 100,
    )


def jitter_ms(heard: list[Heard], *, burst_frames: int) -> float:
    """The 95th percentile of how far the paced frames' intervals are from 20 ms."""
    return percentile([abs(ms - 20) for one in heard for ms in one.intervals_ms(burst=burst_frames)], 95)


async def _sample(lags_ms: list[float]) -> None:
    """How late our own loop is."""
    while True:
        due_s = time.monotonic() + probe.EVERY_S
        await asyncio.sleep(probe.EVERY_S)
        lags_ms.append(max(0.0, time.monotonic() - due_s) * 1000)
