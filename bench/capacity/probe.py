"""Run a program and write down how late its loop is: `python -m bench.capacity.probe FILE MODULE [FLAG …]`."""

from __future__ import annotations

import asyncio
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SAMPLE = struct.Struct("<dd")  # monotonic seconds, milliseconds late
EVERY_S = 0.01


def sample(loop: asyncio.AbstractEventLoop, note: Callable[[float, float], object]) -> None:
    """From now on, tell again and again of the time and how many milliseconds late the loop was for it."""

    def tick(due_s: float) -> None:
        now_s = time.monotonic()
        note(now_s, max(0.0, now_s - due_s) * 1000)
        loop.call_later(EVERY_S, tick, now_s + EVERY_S)

    loop.call_soon(tick, time.monotonic())


def read(path: Path, *, since_s: float) -> list[float]:
    """What was written since a monotonic time; the clock is the same in every process of a machine."""
    data = path.read_bytes()
    whole = data[: len(data) - len(data) % SAMPLE.size]
    return [late_ms for at_s, late_ms in SAMPLE.iter_unpack(whole) if at_s >= since_s]


def main() -> None:
    """Entry point."""
    path, module, *flags = sys.argv[1:]
    run = asyncio.Runner.run
    with Path(path).open("ab", buffering=0) as file:

        def probed(runner: asyncio.Runner, work: Coroutine[Any, Any, Any], **options: Any) -> Any:
            sample(runner.get_loop(), lambda at_s, late_ms: file.write(SAMPLE.pack(at_s, late_ms)))
            return run(runner, work, **options)

        sys.argv = [module, *flags]
        with patch.object(asyncio.Runner, "run", probed):
            runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
