"""First audio and the cost of speech of any model, through gRPC: `python -m bench.families MODEL_ID …`.

The worker has the settings of the environment, such as VOICEPLANE_WORKER__THREADS_PER_STEP.
"""

from __future__ import annotations

import argparse
import asyncio

from voiceplane_client import WorkerClient
from voiceplane_common.frames import FRAME_SECONDS

from bench.corpus import TEXTS, Text
from bench.first_audio import CLAUSE, SENTENCE
from bench.report import Report, Section, percentile
from bench.speaking import speak
from tests.support import processes


async def measure(model_id: str, *, rounds: int) -> Section:
    """The table of one model."""
    section = Section(
        f"{model_id}: first audio, ms, and processor time over audio time",
        ("sentence", "clause p50", "p95", "sentence mode p50", "p95", "CPU / audio"),
        note="Text sent whole to an open stream until the first frame arrives. CPU: with pacing and gRPC.",
    )
    async with processes.worker("--default-model", model_id) as (address, process), WorkerClient(address) as client:
        for text in TEXTS:
            section.rows.append(await _row(client, process, text, rounds=rounds))
    return section


async def _row(client: WorkerClient, process: processes.Process, text: Text, *, rounds: int) -> tuple[str | float, ...]:
    firsts: list[list[float]] = []
    costs: list[float] = []
    for request in (CLAUSE, SENTENCE):
        firsts.append([])
        for _ in range(rounds):
            before = process.cpu_seconds()
            async with await client.start_session(request) as session, session.open_stream() as stream:
                heard = await speak(stream, text.words, utterance_id="u")
            firsts[-1].append(heard.first_audio_ms)
            costs.append((process.cpu_seconds() - before) / (len(heard.arrivals) * FRAME_SECONDS))
    figures = (percentile(values, share) for values in firsts for share in (50, 95))
    return (text.name, *figures, percentile(costs, 50))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="model ids of the packs that come with Voiceplane")
    parser.add_argument("--rounds", type=int, default=8, help="repetitions of each measurement")
    arguments = parser.parse_args()
    report = Report()
    for model_id in arguments.models:
        report.show(asyncio.run(measure(model_id, rounds=arguments.rounds)))


if __name__ == "__main__":
    main()
