"""`voiceplane packs prefetch`, `verify` and `prune`: the cache, as a user sees it."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.output import CliError
from voiceplane_cli.progress import progress_line
from voiceplane_cli.quantities import seconds, size_bytes
from voiceplane_common.artifacts import FetchProgress

from tests.support import file_server
from tests.support.file_server import FileServer, Served
from tests.support.voicepacks import packs_as_json, run_packs, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FILES = {"model": b"m" * 10_000, "config": b"c" * 5_000}
INDEX = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in FILES.items()]


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def web(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    certificates = file_server.certificates(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    with file_server.file_server(certificates) as running:
        running.files |= {f"/v/{name}": Served(content) for name, content in FILES.items()}
        yield running


@pytest.fixture
def packs(web: FileServer, tmp_path: Path) -> Path:
    """A folder with one pack, whose files a web server has."""
    write_pack(tmp_path / "packs" / "mock" / "v", "v", source={"uri": f"{web.url}/v/", "index": INDEX})
    return tmp_path / "packs"


def age(cache_dir: Path, days: float) -> None:
    """Let the artifacts of a cache, and their files, not be used for so long."""
    at = time.time() - days * 86_400
    for path in (*(cache_dir / "artifacts").iterdir(), *(cache_dir / "blobs").iterdir()):
        os.utime(path, (at, at))


def test_a_pack_is_fetched_once(packs: Path, web: FileServer) -> None:
    result = run_packs("prefetch", "v", "--packs-dir", packs)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:3] == ["v", "here", "15"]
    assert "v: 15 kB of 15 kB" in result.stderr
    assert "prefetch" not in run_packs("prefetch", "v", "--packs-dir", packs).stderr
    assert web.sent_bytes == sum(map(len, FILES.values()))


def test_a_source_that_refuses_is_an_error_without_a_traceback(packs: Path, web: FileServer) -> None:
    web.files.clear()
    (told,) = packs_as_json("prefetch", "v", "--packs-dir", packs, code=1)["packs"]
    assert told["state"] == "failed"
    assert "does not exist" in told["message"]
    assert run_packs("prefetch", "w", "--packs-dir", packs).exit_code == 2


@pytest.mark.parametrize(("name", "damage"), [("model", b"rotten"), ("config", None)])
def test_verify_names_what_is_damaged_and_what_repairs_it(
    name: str, damage: bytes | None, packs: Path, cache_dir: Path, web: FileServer
) -> None:
    run_packs("prefetch", "v", "--packs-dir", packs)
    (file,) = (cache_dir / "artifacts").rglob(name)
    file.chmod(0o644)
    file.write_bytes(damage) if damage else file.unlink()
    (told,) = packs_as_json("verify", "v", "--packs-dir", packs, code=1)["packs"]
    assert (told["corrupt"], told["missing"]) == (([name], []) if damage else ([], [name]))
    assert f"{name} is {'corrupt' if damage else 'missing'}" in told["message"]
    assert "--remove" in told["message"]
    (told,) = packs_as_json("verify", "v", "--packs-dir", packs, "--remove", code=1)["packs"]
    assert "it was removed; fetch it again: voiceplane packs prefetch " in told["message"]
    sent = web.sent_bytes
    packs_as_json("prefetch", "v", "--packs-dir", packs)
    assert packs_as_json("verify", "v", "--packs-dir", packs)["ok"]
    assert web.sent_bytes == sent + (len(FILES[name]) if damage else 0)  # what is whole is not fetched again


def test_prune_removes_what_was_not_used_for_long(packs: Path, cache_dir: Path, web: FileServer) -> None:
    run_packs("prefetch", "v", "--packs-dir", packs)
    assert packs_as_json("prune", "--max-bytes", "1kB")["removed"] == []  # it is fresh
    age(cache_dir, 31)
    packs_as_json("list", "--packs-dir", packs)  # a look is no use
    planned = packs_as_json("prune", "--dry-run")
    assert (planned["dry_run"], [each["source"] for each in planned["removed"]]) == (True, [f"{web.url}/v/"])
    assert packs_as_json("prune", "--older-than", "32d")["removed"] == []
    result = run_packs("prune")
    assert f"{web.url}/v/" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("15 kB freed")
    assert list((cache_dir / "blobs").iterdir()) == []


def test_what_was_fetched_to_be_kept_is_kept_until_it_is_let_go(packs: Path, cache_dir: Path) -> None:
    run_packs("prefetch", "v", "--packs-dir", packs, "--keep")
    age(cache_dir, 100)
    done = packs_as_json("prune", "--older-than", "1d", "--max-bytes", "0")
    assert (len(done["kept"]), done["removed"]) == (1, [])
    run_packs("prefetch", "v", "--packs-dir", packs, "--no-keep")
    age(cache_dir, 100)
    assert len(packs_as_json("prune", "--max-bytes", "0")["removed"]) == 1


def test_pruning_an_empty_cache_is_no_error(cache_dir: Path) -> None:
    assert packs_as_json("prune")["left_bytes"] == 0
    assert not cache_dir.exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("30d", 2_592_000), ("12h", 43_200), ("1.5 min", 90), ("2w", 1_209_600), ("5s", 5)]
)
def test_a_duration_has_a_unit(text: str, expected: float) -> None:
    assert seconds("--older-than", text) == expected


@pytest.mark.parametrize(("text", "expected"), [("20GiB", 20 << 30), ("1.5 kB", 1500), ("7", 7), ("2tib", 2 << 40)])
def test_a_size_may_have_a_unit(text: str, expected: int) -> None:
    assert size_bytes("--max-bytes", text) == expected


@pytest.mark.parametrize("text", ["", "d", "30", "3 parsecs", "-1d"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CliError, match=r"--older-than .* is not like 30d"):
        seconds("--older-than", text)


def test_without_a_terminal_a_line_tells_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    with progress_line("alba", now=lambda: next(times)) as progress:
        for done in (1_000_000, 2_000_000, 4_000_000):
            progress(FetchProgress(done_bytes=done, total_bytes=4_000_000, bytes_per_s=500_000))
    assert capsys.readouterr().err.splitlines() == [
        "alba: 2 MB of 4 MB, 500 kB/s", "alba: 4 MB of 4 MB, 500 kB/s",
    ]  # fmt: skip
