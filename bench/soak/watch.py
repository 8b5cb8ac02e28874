"""Looks at the processes while they run, and at what is left when everybody has gone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import POLL_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.soak.stack import Member, Stack

OPEN = (
    "voiceplane_orchestrator_sessions",
    "voiceplane_worker_sessions",
    "voiceplane_worker_utterances_under_way",
)
"""Metrics that are 0 without users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a process held.

    Attributes:
        age_s: Since the process was ready.
        rss_bytes: Resident memory.
        open_files: File descriptors.
    """

    age_s: float
    rss_bytes: int
    open_files: int


@dataclass(slots=True)
class Watch:
    """Samples of every process.

    Attributes:
        samples: By program and generation.
    """

    members: Sequence[Member]
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)
    _born_s: dict[tuple[str, int], float] = field(default_factory=dict)

    async def look(self, *, every_s: float) -> None:
        """Take samples until cancelled."""
        while True:
            for member in self.members:
                self._sample(member)
            await asyncio.sleep(every_s)

    def _sample(self, member: Member) -> None:
        member.note_death()
        process, key = member.process, (member.name, member.generation)
        if process is None:
            return
        born_s = self._born_s.setdefault(key, time.monotonic())
        try:
            rss_bytes, open_files = process.rss_bytes(), process.open_files()
        except psutil.Error:  # it has ended just now
            return
        sample = Sample(age_s=time.monotonic() - born_s, rss_bytes=rss_bytes, open_files=open_files)
        self.samples.setdefault(key, []).append(sample)


async def left_behind(stack: Stack, *, settle_s: float) -> dict[str, float]:
    """What is still held without users, after some time. Empty for nothing.

    Returns:
        The program and its metric, or the worker's model that sessions still refer to, and how many.
    """
    deadline_s = time.monotonic() + settle_s
    async with aiohttp.ClientSession() as http:
        while True:
            left = await _held(http, stack)
            if not left or time.monotonic() >= deadline_s:
                return left
            await asyncio.sleep(POLL_S)


def open_in(page: str) -> dict[str, float]:
    """Of a page of metrics, those that should be 0 and are not."""
    families = list(text_string_to_metric_families(page))
    if not any(family.name in OPEN for family in families):
        return {"tells of no sessions": 1.0}  # a metric that was renamed must not pass for 0
    samples = [sample for family in families for sample in family.samples]
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for sample in samples
        if sample.name in OPEN and sample.value
    }


async def _held(http: aiohttp.ClientSession, stack: Stack) -> dict[str, float]:
    held: dict[str, float] = {}
    for member in stack.members:
        if member.process is None:
            held[f"{member.name}: not running"] = 1
            continue
        try:
            held |= await _held_by(http, member, stack)
        except aiohttp.ClientError:
            held[f"{member.name}: does not answer"] = 1
    return held


async def _held_by(http: aiohttp.ClientSession, member: Member, stack: Stack) -> dict[str, float]:
    async with http.get(member.metrics_url) as response:
        held = {f"{member.name}: {name}": value for name, value in open_in(await response.text()).items()}
    if member in stack.orchestrators:
        async with http.get(f"{member.address}/v1/models") as response:
            models = (await response.json())["models"]
        for model in models:
            for on in model["workers"]:
                if on["references"]:
                    held[f"{on['worker']}: references to {model['id']}"] = on["references"]
    return held
