"""A flame graph of a worker that speaks, by py-spy: `just flame worker.svg 10`.

py-spy reads the process from outside, so that the worker runs as it always does; it must be allowed to (root, or
CAP_SYS_PTRACE).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from pathlib import Path

from voiceplane_client import WorkerClient

from bench.corpus import TEXTS
from bench.speaking import speak
from bench.streams import REQUEST
from tests.support import processes

SAMPLES_PER_SECOND = 200


async def record(output: Path, *, seconds: int, sessions: int, arguments: list[str]) -> int:
    """Sample a worker while sessions speak.

    Args:
        output: An SVG file.
        seconds: How long.
        sessions: That speak at once.
        arguments: More flags of the worker.

    Returns:
        py-spy's exit code.
    """
    async with processes.worker(*arguments) as (address, worker):
        speaking = [asyncio.create_task(_speak_forever(address)) for _ in range(sessions)]
        spy = await asyncio.create_subprocess_exec(
            "py-spy", "record", "--pid", str(worker.child.pid), "--duration", str(seconds), "--threads",
            "--rate", str(SAMPLES_PER_SECOND), "--output", str(output),
        )  # fmt: skip
        code = await spy.wait()
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
    return code


async def _speak_forever(address: str) -> None:
    async with (
        WorkerClient(address) as client,
        await client.start_session(REQUEST) as session,
        session.open_stream() as stream,
    ):
        for number, text in enumerate(itertools.cycle(TEXTS)):
            await speak(stream, text.words, utterance_id=str(number))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("seconds", type=int)
    parser.add_argument("--sessions", type=int, default=3)
    options, arguments = parser.parse_known_args()
    work = record(options.output, seconds=options.seconds, sessions=options.sessions, arguments=arguments)
    raise SystemExit(asyncio.run(work))


if __name__ == "__main__":
    main()
