"""Check types: mypy with the packages that lie under families/, whatever these are.

`python scripts/check_types.py` checks all; arguments go to mypy. A family's libraries that ship no types are listed in
its `tool.voiceplane.family`, as `untyped`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from families.manifests import read_manifests  # noqa: E402  # found by the line above


def configuration() -> dict[str, Any]:
    """The workspace's configuration of mypy, with the families' untyped libraries."""
    known: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    if untyped := sorted({f"{name}.*" for manifest in read_manifests().values() for name in manifest.untyped}):
        known["overrides"] = [*known["overrides"], {"module": untyped, "ignore_missing_imports": True}]
    return known


def as_toml(values: dict[str, Any]) -> str:
    """A configuration as mypy reads it."""
    overrides = values.pop("overrides")
    lines = ["[tool.mypy]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for override in overrides:
        lines += ["[[tool.mypy.overrides]]", *(f"{key} = {json.dumps(value)}" for key, value in override.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Entry point."""
    sources = sorted((ROOT / "families").glob("*/src"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mypy.toml"
        file.write_text(as_toml(configuration()), encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--config-file", str(file), *sys.argv[1:]]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"MYPYPATH": os.pathsep.join(map(str, sources))}, check=False
        )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
