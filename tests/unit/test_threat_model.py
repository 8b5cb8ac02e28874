"""docs/explanation/threat-model.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")


def test_every_named_test_is_there() -> None:
    files = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))
    assert len(named) > 10
    assert named <= files
    folders = re.findall(r"`(tests/[\w/]+)`", PAGE)
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)
