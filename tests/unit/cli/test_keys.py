"""`voiceplane keys`: made once, kept as digests, listed and revoked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from typer.testing import CliRunner
from voiceplane_cli.main import app
from voiceplane_common.api_keys import digest, read_keys

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def run(*arguments: str | int | Path) -> Result:
    return CliRunner().invoke(app, ["keys", *map(str, arguments)])


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    keys = [run("new", "alice", "--file", file).stdout.strip() for _ in range(2)]
    assert run("new", "bob", "--file", file, "--days", 30).exit_code == 0
    entries = read_keys(file)
    assert [entry.name for entry in entries] == ["alice", "alice", "bob"]
    assert [entry.sha256 for entry in entries[:2]] == [digest(key).hex() for key in keys]
    assert entries[2].expires is not None
    assert timedelta(days=29) < entries[2].expires - datetime.now(UTC) <= timedelta(days=30)
    listed = json.loads(run("list", "--file", file, "--json").stdout)["keys"]
    assert [entry["name"] for entry in listed] == ["alice", "alice", "bob"]
    assert run("revoke", entries[0].sha256[:12], "--file", file).exit_code == 0
    assert read_keys(file) == entries[1:]
    assert run("revoke", "alice", "--file", file).exit_code == 0
    assert [entry.name for entry in read_keys(file)] == ["bob"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    assert "not a valid name" in run("new", "a b", "--file", file).stderr
    assert not file.exists()
    assert "cannot be read" in run("list", "--file", file).stderr
    run("new", "alice", "--file", file)
    refused = run("revoke", "carol", "--file", file)
    assert refused.exit_code == 1
    assert "has no key of carol" in refused.stderr
    assert "cannot write" in run("new", "alice", "--file", tmp_path / "nowhere" / "keys.yaml").stderr
