#!/usr/bin/env python3
"""Print a JSON list for a workflow: the families below `families/`, or with --images, every image of a release."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def families(root: Path = ROOT) -> list[str]:
    """The families that are distributions of their own."""
    return sorted(
        path.parent.name for path in (root / "families").glob("*/pyproject.toml") if path.parent.name != "kit"
    )


if __name__ == "__main__":
    names = families()
    if "--images" in sys.argv[1:]:
        names = ["operator", "orchestrator", "worker", *(f"worker-{name}" for name in names)]
    print(json.dumps(names))
