"""Programs that outlive the command that started them: a pid file, a log, and an end by that pid only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

POLL_S = 0.05
END_TIMEOUT_S = 15.0
LOG_TAIL = 2000

# Those that this very process started: only a parent can collect its children.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Daemon:
    """One program of the cluster; its files are `NAME.pid` and `NAME.log` in a folder."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.folder / f"{self.name}.log"

    def start(self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> None:
        """Start it, unless it runs; its log goes on."""
        if self.running():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        _children[child.pid] = child
        started = psutil.Process(child.pid).create_time()
        self._pid_file.write_text(f"{child.pid} {started}")

    def running(self) -> bool:
        """Whether it runs now."""
        return self._process() is not None

    def end(self, *, kill: bool = False) -> None:
        """End it, with SIGKILL if it does not obey in time or is to have no time; nothing if it does not run.

        Args:
            kill: Give it no time to tidy up.
        """
        for name in [signal.SIGKILL] if kill else [signal.SIGTERM, signal.SIGKILL]:
            process = self._process()
            if process is None:
                break
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(name)
            deadline = time.monotonic() + END_TIMEOUT_S
            while self.running() and time.monotonic() < deadline:
                time.sleep(POLL_S)
            child = _children.pop(process.pid, None)
            if child is not None:
                child.wait(END_TIMEOUT_S)  # collects it
        if self.running():
            raise RuntimeError(f"{self.name} can't be ended: see the process of {self._pid_file}")
        self._pid_file.unlink(missing_ok=True)

    def wait(self, what: str, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until it is ready.

        Args:
            what: Names the wait in the error.
            ready: Looks once.
            timeout_s: The deadline.

        Raises:
            RuntimeError: It ended, or is not ready in time; ends with its last log.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running():
                raise RuntimeError(f"{self.name} ended before {what}; {self.log} ends:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: no {what} within {timeout_s:g} s; {self.log} ends:\n{self._tail()}")
            time.sleep(POLL_S)

    def _process(self) -> psutil.Process | None:
        """The process, if it is still the one that was started: a pid alone may be another's by now."""
        with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            pid, started = self._pid_file.read_text().split()
            process = psutil.Process(int(pid))
            same = abs(process.create_time() - float(started)) < 1
            # Dead, and not collected by its parent; as long as a thread of it is there, so are its sockets.
            dead = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
            return process if same and not dead else None
        return None

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else "(nothing)"
