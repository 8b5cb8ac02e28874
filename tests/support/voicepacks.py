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


def packs_command(*arguments: str | Path) -> list[dict[str, Any]]:
    """What `voiceplane packs` says of each pack."""
    result = CliRunner().invoke(app, ["packs", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["packs"]
    return found
