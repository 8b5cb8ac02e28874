"""Output for users and programs: tables, JSON, errors of one line, and the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table
from rich.text import Text
from voiceplane_common.errors import VoiceplaneError

STATE_STYLES = {
    "resident": "green",
    "ready": "green",
    "fetching": "yellow",
    "loading": "yellow",
    "warming": "yellow",
    "draining": "yellow",
    "not ready": "yellow",
    "failed": "red",
    "ok": "green",
    "here": "green",
    "not fetched": "yellow",
    "no digest": "yellow",
    "missing": "red",
    "optional": "yellow",
}


class ExitCode(IntEnum):
    """What the command's exit code says; docs/reference/cli.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    INTERRUPTED = 130


class CliError(Exception):
    """An error that the user can fix; its message is one line that says how."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.NOT_FOUND: ExitCode.USAGE,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.DENIED,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.DENIED,
}


def exit_code(error: CliError | VoiceplaneError) -> ExitCode:
    """The exit code for an error."""
    if isinstance(error, CliError):
        return error.code
    return _CODES.get(error.code, ExitCode.FAILED)


def one_line(message: str) -> str:
    """A message without line breaks."""
    return " ".join(message.split())


def stdout() -> Console:
    """For results. Created on each call: rich reads NO_COLOR and the terminal's width when it is made."""
    return Console(highlight=False)


def stderr() -> Console:
    """For progress, notes and errors, so that results can be piped."""
    return Console(stderr=True, highlight=False)


def fail(error: CliError | VoiceplaneError) -> ExitCode:
    """Print an error as one line; return the exit code."""
    note(f"voiceplane: {one_line(error.message)}")
    return exit_code(error)


def note(message: str) -> None:
    """Print a line on stderr, never wrapped, so that it can be copied."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201  # a terminal is this program's output


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2), flush=True)  # noqa: T201  # see note()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, states: str = "state") -> Table:
    """A table that fits the terminal: cells wrap when there is no room for them.

    Args:
        columns: Their headings.
        rows: Cells as text; nothing in them is read as markup.
        states: The column whose cells are coloured as states.
    """
    result = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        cells = [
            Text(cell, style=STATE_STYLES.get(cell, "") if column == states else "")
            for column, cell in zip(columns, row, strict=True)
        ]
        result.add_row(*cells)
    return result


def humanise_age(seconds: float | None) -> str:
    """A duration with one unit, such as "3 s" or "4 d"; "-" for None. One that lies ahead has "in" before it."""
    if seconds is None:
        return "-"
    units = (("d", 86_400, 172_800), ("h", 3600, 6000), ("min", 60, 100), ("s", 1, 0))
    unit, size = next((unit, size) for unit, size, least in units if abs(seconds) >= least)
    return f"{'in ' if seconds < 0 else ''}{int(abs(seconds) // size)} {unit}"


def humanise_bytes(count: int) -> str:
    """Such as "63 MB"; "-" for 0, which means not known."""
    if not count:
        return "-"
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
