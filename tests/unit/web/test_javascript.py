"""Runs the unit tests of the page's modules, which are JavaScript."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_the_modules_of_the_page_pass_their_tests() -> None:
    node = shutil.which("node")
    assert node is not None, "node is not installed: apt-get install nodejs (20 or later)"
    tests = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    assert tests
    result = subprocess.run([node, "--test", *tests], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
