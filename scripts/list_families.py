#!/usr/bin/env python3
"""Print a JSON list for a workflow: the families with an environment of their own, or with --images, every image."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from families.manifests import read_manifests  # noqa: E402  # found by the line above


def names(*, images: bool) -> list[str]:
    """The families with an environment of their own, or all images of a release."""
    manifests = read_manifests(ROOT / "families").values()
    if images:
        return ["operator", "orchestrator", "worker", *(f"worker-{manifest.name}" for manifest in manifests)]
    return [manifest.name for manifest in manifests if manifest.has_own_environment]


if __name__ == "__main__":
    print(json.dumps(names(images="--images" in sys.argv[1:])))
