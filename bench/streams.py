"""Several streams at once: first sound, gaps and underruns at 1, 2, 4 and 8."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from bench.corpus import TEXTS
from bench.report import Section, percentile, spread
from bench.speaking import speak

if TYPE_CHECKING:
    from bench.speaking import Heard

COUNTS = (1, 2, 3, 4, 8)
REQUEST = tts_pb2.StartSessionRequest(credit_flow_control=True)
BURST_FRAMES = 5


async def streams(address: str, *, rounds: int) -> Section:
    """The table by number of streams."""
    section = Section(
        "Streams at once: first non-silent sample, ms",
        (
            "streams",
            "utterances",
            "p50",
            "p95",
            "p99",
            "p95 / p95 at 1",
            "late frames, %",
            "worst gap, ms",
            "jitter p95",
        ),
        note="All streams send at the same moment, the worst case. A late frame came after a listener who began at the "
        "first one would have needed it. Jitter: how far the paced frames' intervals are from 20 ms.",
    )
    alone = 0.0
    async with WorkerClient(address) as client:
        for count in COUNTS:
            heard = [one for _ in range(max(2, rounds // count)) for one in await _together(client, count)]
            p50, p95, p99 = spread([one.first_sound_ms for one in heard])
            alone = alone or p95
            gaps = [gap for one in heard for gap in one.gaps_ms()]
            frames = sum(len(one.arrivals) for one in heard)
            jitter = [abs(ms - 20) for one in heard for ms in one.intervals_ms(burst=BURST_FRAMES)]
            section.rows.append(
                (
                    str(count),
                    float(len(heard)),
                    p50,
                    p95,
                    p99,
                    p95 / alone,
                    100 * len(gaps) / frames,
                    max(gaps, default=0.0),
                    percentile(jitter, 95),
                )
            )
    return section


async def _together(client: WorkerClient, count: int) -> list[Heard]:
    sessions = [await client.start_session(REQUEST) for _ in range(count)]
    opened = [session.open_stream() for session in sessions]
    try:
        chooser = random.Random(count)
        words = [chooser.choice(TEXTS[1:3]).words for _ in opened]
        return list(
            await asyncio.gather(
                *(speak(stream, text, utterance_id="u") for stream, text in zip(opened, words, strict=True))
            )
        )
    finally:
        for stream in opened:
            stream.cancel()
        for session in sessions:
            await session.end()
