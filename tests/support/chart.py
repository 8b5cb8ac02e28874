"""The Helm chart, rendered without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.cluster.binaries import binary
from tests.e2e.cluster.commands import attempt

if TYPE_CHECKING:
    import subprocess

CHART = Path(__file__).parents[2] / "charts" / "voiceplane"
NAMESPACE = "speech"


def try_rendering(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`helm template` of a release vp; the caller looks at the exit status."""
    command: list[str | Path] = [binary("helm"), "template", "vp", CHART, "--namespace", NAMESPACE, "-f", "-"]
    return attempt(command, stdin=json.dumps(values))


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a release vp."""
    result = try_rendering(values)
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.safe_load_all(result.stdout) if each]
