"""docs/how-to/add-a-family.md: its code is a family that keeps the contract, and that a real worker speaks with."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from tests.support import processes
from tests.support.plugins import files_of_the_page, install
from tests.support.workers import pcm, say

if TYPE_CHECKING:
    from pathlib import Path

MOST_LINES = 99
SUITE = "tests/contract/test_adapters.py"
PACK = "packs/chirp/chirp"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package, installed for the processes that a test starts."""
    folder = tmp_path / "site"
    install(folder, files_of_the_page())
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


async def run(*arguments: str, **env: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **env},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


def test_the_page_shows_the_whole_package_in_less_than_100_lines() -> None:
    files = files_of_the_page()
    assert set(files) == {
        "pyproject.toml", "voiceplane_chirp/__init__.py", "voiceplane_chirp/adapter.py", f"{PACK}/metadata.yaml",
    }  # fmt: skip
    lines = [line for content in files.values() for line in content.splitlines()]
    assert len(lines) <= MOST_LINES
    assert max(len(line) for line in lines) <= 120, "few lines, and none that is two"


@pytest.mark.timeout(300)
async def test_the_pages_family_keeps_the_contract(package: Path) -> None:
    out = await run(
        "pytest", "-q", "-p", "no:cacheprovider", SUITE,
        # Of what a child gives back, its family changes nothing; and it takes a process for each of many loads.
        "--deselect", f"{SUITE}::test_memory_returns_after_many_loads[chirp, in a child process]",
        VOICEPLANE_CONTRACT_PACK=str(package / PACK),
    )  # fmt: skip
    assert re.search(r"^4[0-9] passed, 1 deselected in ", out, re.MULTILINE), out


async def test_a_real_worker_speaks_with_the_pages_family(package: Path) -> None:
    flags = ("--packs-dir", str(package / "packs"), "--default-model", "chirp")
    async with processes.worker(*flags) as (address, _), WorkerClient(address) as client:
        assert "chirp" in [family.name for family in (await client.capabilities()).families]
        async with await client.start_session(tts_pb2.StartSessionRequest(voice="high")) as session:
            frames = await say(session, "Is that a voice? It is.")
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE
    samples = np.frombuffer(pcm(frames), "<i2") / 32768
    assert 1.0 < samples.size / 48_000 < 3.0
    assert np.sqrt(np.mean(samples**2)) > 0.03


async def test_the_pages_family_is_in_the_doctors_report_and_its_pack_is_right(package: Path) -> None:
    report = json.loads(await run("voiceplane_cli.main", "doctor", "--json"))
    (chirp,) = (check for check in report["checks"] if check["name"] == "chirp")
    assert (chirp["purpose"], chirp["found"]) == ("family", "installed")
    assert "1 packs, 0 problems" in await run(
        "voiceplane_cli.main", "packs", "lint", "--packs-dir", str(package / "packs")
    )


def test_the_pages_family_imports_its_libraries_only_when_it_is_asked_for() -> None:
    init = files_of_the_page()["voiceplane_chirp/__init__.py"]
    assert not re.search(r"^(import|from) (?!voiceplane_worker.adapters.(base|family) )", init, re.MULTILINE)
