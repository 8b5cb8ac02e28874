"""Child processes of which all output is kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class LoggedProcess:
    """A process and all that it has written so far: in `log` to standard error, in `printed` to standard output."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.log = ""
        self.printed = ""
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def until(self, text: str) -> str:
        """The rest of the line after a text, which the process writes sooner or later."""
        while text not in self.log or "\n" not in self.log.partition(text)[2]:
            assert not self.reading.done(), f"it ended without writing {text!r}:\n{self.log}"
            self._news.clear()
            await self._news.wait()
        return self.log.partition(text)[2].partition("\n")[0]

    async def _read(self) -> None:
        assert self.child.stderr is not None
        assert self.child.stdout is not None
        printing = asyncio.create_task(self.child.stdout.read())
        while line := await self.child.stderr.readline():
            self.log += line.decode()
            self._news.set()
        self.printed = (await printing).decode()
        self._news.set()


@contextlib.asynccontextmanager
async def logged_python(*arguments: str, **environment: str) -> AsyncIterator[LoggedProcess]:
    """Run `python -m …` with these variables in its environment; killed in the end if it still runs."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    process = LoggedProcess(child)
    try:
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await process.reading
