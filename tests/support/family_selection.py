"""How much of a family's contract is due: all of it if the family or what it runs on has changed since it last passed.

A suite that passed leaves a record in the user's cache, by the content of every file that it depends on. A machine
without a record runs everything, and so does VOICEPLANE_CONTRACT=whole.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

ROOT = Path(__file__).parents[2]
RUNS_ON = ("proto", "common", "client", "worker", "families/kit", "tests/contract", "tests/support", "pyproject.toml")
"""What a family's suite depends on beside the family's own folder."""
IGNORED = frozenset({"__pycache__", ".venv", "dist", "build", ".pytest_cache"})
CORE = ("-m", "core")
"""Arguments of pytest for the tests that are due in any case."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is due.

    Attributes:
        whole: Whether the whole suite is due.
    """

    whole: bool
    _record: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """For pytest."""
        return () if self.whole else CORE

    @property
    def description(self) -> str:
        """For the summary of a run."""
        return (
            "whole suite" if self.whole else "core of the suite, unchanged since the whole suite passed on this machine"
        )

    def passed(self) -> None:
        """Record that the whole suite passed, if it was the whole one."""
        if self.whole:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._record.touch()


def select(family: str, *, root: Path = ROOT, records: Path | None = None) -> Selection:
    """What is due of a family's contract.

    Args:
        family: Its name.
        root: The checkout.
        records: The folder of the records; None for the user's cache.
    """
    folder = records or platformdirs.user_cache_path("voiceplane") / "contract"
    record = folder / f"{family}-{_digest(root, *RUNS_ON, f'families/{family}')}"
    whole = os.environ.get("VOICEPLANE_CONTRACT") == "whole" or not record.exists()
    return Selection(whole, record)


def _digest(root: Path, *paths: str) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        start = root / path
        files = [start] if start.is_file() else sorted(each for each in start.rglob("*") if each.is_file())
        for file in files:
            name = file.relative_to(root)
            if not IGNORED & set(name.parts) and file.suffix != ".pyc":
                digest.update(f"{name}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
