"""The shell scripts are what a shell can read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "images" / "build", ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_can_be_read(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_extra_of_a_family_has_an_image() -> None:
    cases = (ROOT / "images" / "build").read_text(encoding="utf-8")
    environments = (ROOT / "tests" / "support" / "environments.py").read_text(encoding="utf-8")
    families = environments.partition("FAMILIES = (")[2].partition(")")[0].replace('"', "").split(", ")
    assert families
    assert all(f"worker-{family}) extras={family};" in cases for family in families)
