"""Programs that are run to their end, with a deadline and an error that says what they said."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT_S = 60.0


def attempt(
    command: Sequence[str | Path], *, stdin: str | None = None, timeout_s: float = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run a program; the caller looks at its exit status.

    Args:
        command: The program and its arguments.
        stdin: What it reads.
        timeout_s: Longer is an error.
    """
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)


def run(command: Sequence[str | Path], *, stdin: str | None = None, timeout_s: float = TIMEOUT_S) -> str:
    """Run a program that must succeed.

    Returns:
        What it printed.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    result = attempt(command, stdin=stdin, timeout_s=timeout_s)
    if result.returncode:
        words = " ".join(str(part) for part in command)
        raise RuntimeError(f"{words}: exit status {result.returncode}: {result.stderr.strip()[-1000:]}")
    return result.stdout
