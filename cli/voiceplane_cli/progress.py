"""How far a fetch is, on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from voiceplane_cli.output import humanise_bytes, note, stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_common.artifacts import FetchProgress

PERIOD_S = 5.0


@contextmanager
def progress_line(
    what: str, *, hidden: bool = False, now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[FetchProgress], None]]:
    """A function that shows the progress that it is called with; nothing is shown of what is here already."""
    console = stderr()
    if hidden:
        yield lambda _: None
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None, visible=False)
            yield lambda done: bar.update(task, completed=done.done_bytes, total=done.total_bytes or None, visible=True)
    else:
        yield _Lines(what, now)


class _Lines:
    def __init__(self, what: str, now: Callable[[], float]) -> None:
        self._what = what
        self._now = now
        self._due = now() + PERIOD_S

    def __call__(self, done: FetchProgress) -> None:
        complete = bool(done.total_bytes) and done.done_bytes >= done.total_bytes
        if self._now() < self._due and not complete:
            return
        self._due = self._now() + PERIOD_S
        of = f" of {humanise_bytes(done.total_bytes)}" if done.total_bytes else ""
        rate = f", {humanise_bytes(int(done.bytes_per_s))}/s" if done.bytes_per_s else ""
        note(f"{self._what}: {humanise_bytes(done.done_bytes)}{of}{rate}")
