"""What is to be read below the summary of a run."""

from __future__ import annotations

import pytest

NOTES = pytest.StashKey[list[str]]()


def note(config: pytest.Config, line: str) -> None:
    """Print a line at the end of the run."""
    config.stash.setdefault(NOTES, []).append(line)
