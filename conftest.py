"""What holds for every test."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings

from tests.support.notes import NOTES, note

if TYPE_CHECKING:
    import pytest

NVIDIA = Path("/proc/driver/nvidia/gpus")

# Some images of machines switch bytecode off. Then each of the hundreds of processes that tests start compiles every
# module that it imports, which takes seconds of a core.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A developer's runs explore; CI's decide, so each of them looks at the same examples.
settings.register_profile("explore", print_blob=True)
settings.register_profile("decide", derandomize=True, print_blob=True)
settings.load_profile("decide" if os.environ.get("CI") else "explore")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need a GPU where there is none; pytest's summary counts them as deselected."""
    if NVIDIA.is_dir() and any(NVIDIA.iterdir()):
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    if left_out:
        note(config, f"{len(left_out)} deselected tests need a GPU: `just test-gpu` runs them on a machine with one")
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what a count alone does not."""
    for line in config.stash.get(NOTES, ()):
        terminalreporter.write_line(line)
