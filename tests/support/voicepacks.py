"""Voice packs on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from typer.testing import CliRunner
from voiceplane_cli.main import app

from tests.support.artifacts import write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def pack_yaml(model_id: str, **changes: Any) -> bytes:
    """A metadata.yaml of the mock family."""
    values: dict[str, Any] = {
        "model_id": model_id,
        "family": "mock",
        "licence": "CC0-1.0",
        "voices": [{"name": "one", "language": "en-US"}],
        **changes,
    }
    return yaml.safe_dump(values).encode()


def write_pack(folder: Path, model_id: str, *, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A voice pack; returns its folder."""
    return write_tree(folder, {"metadata.yaml": pack_yaml(model_id, **changes), **(files or {})})


def run_packs(*arguments: str | Path) -> Result:
    """Run `voiceplane packs`."""
    return CliRunner().invoke(app, ["packs", *map(str, arguments)])


def packs_as_json(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """What `voiceplane packs` prints for programs, with this exit code."""
    result = run_packs(*arguments, "--json")
    assert result.exit_code == code, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def packs_command(*arguments: str | Path) -> list[dict[str, Any]]:
    """What `voiceplane packs` says of each pack."""
    found: list[dict[str, Any]] = packs_as_json(*arguments)["packs"]
    return found
