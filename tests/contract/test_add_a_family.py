"""docs/how-to/add-a-family.md: its folder is all that a family takes, in the tree and as a package outside of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from tests.support import processes
from tests.support.plugins import files_of_the_page, install, write_files
from tests.support.workers import pcm, say

ROOT = Path(__file__).parents[2]
MOST_LINES = 119
SUITE = "tests/contract/test_adapters.py"
PACK = "packs/chirp/chirp"
FOLDER = "families/chirp"


async def run(*arguments: str, cwd: Path = ROOT, **env: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **env}
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def assert_that_it_speaks(packs: Path, *, python: str = sys.executable) -> None:
    flags = ("--packs-dir", str(packs), "--default-model", "chirp")
    async with processes.worker(*flags, python=python) as (address, _), WorkerClient(address) as client:
        assert "chirp" in [family.name for family in (await client.capabilities()).families]
        async with await client.start_session(tts_pb2.StartSessionRequest(voice="high")) as session:
            frames = await say(session, "Is that a voice? It is.")
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE
    samples = np.frombuffer(pcm(frames), "<i2") / 32768
    assert 1.0 < samples.size / 48_000 < 3.0
    assert np.sqrt(np.mean(samples**2)) > 0.03


def test_the_page_shows_the_whole_folder_in_less_than_120_lines() -> None:
    files = files_of_the_page()
    assert set(files) == {
        "pyproject.toml",
        "src/voiceplane_family_chirp/__init__.py",
        "src/voiceplane_family_chirp/adapter.py",
        f"{PACK}/metadata.yaml",
    }
    lines = [line for content in files.values() for line in content.splitlines()]
    assert len(lines) <= MOST_LINES
    assert max(len(line) for line in lines) <= 120, "few lines, and none that is two"


def test_the_pages_family_imports_its_libraries_only_when_it_is_asked_for() -> None:
    init = files_of_the_page()["src/voiceplane_family_chirp/__init__.py"]
    assert not re.search(r"^(import|from) (?!voiceplane_worker.adapters.(base|family) )", init, re.MULTILINE)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files that git knows of or would take, and what is in them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout.split("\0")
    files = (folder / name for name in names if name)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the page's folder, and its lock."""
    tree = tmp_path_factory.mktemp("tree")
    for name, content in files_of(ROOT).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
        shutil.copymode(ROOT / name, tree / name)
    (tree / "worker" / "voiceplane_worker" / "voicepacks").symlink_to("../../voicepacks")
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    write_files(tree / FOLDER, files_of_the_page())
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "lock", "--quiet", "--project", FOLDER], cwd=tree, check=True)
    return tree


@pytest.mark.timeout(600)  # uv may have to fetch what the environment needs
async def test_in_the_tree_its_images_environment_has_a_worker_that_speaks(tree: Path) -> None:
    # As images/worker/Dockerfile does it.
    venv, app = tree.parent / "venv", tree.parent / "app"
    path = f"{tree / 'images' / 'worker'}{os.pathsep}{os.environ['PATH']}"
    python = str(venv / "bin" / "python")
    await run(os.environ.get("UV", "uv"), "venv", "--quiet", str(venv), cwd=tree)
    await run("install-worker", "dependencies", "chirp", "cuda", str(venv), cwd=tree, PATH=path)
    await run("install-worker", "code", "chirp", str(venv), str(app), cwd=tree, PATH=path)
    (packages,) = (venv / "lib").glob("python3*/site-packages")
    (packages / "voiceplane.pth").write_text(f"{app}\n")
    program = "import voiceplane_worker, voiceplane_family_chirp; print(voiceplane_family_chirp.__file__)"
    assert (await run(python, "-c", program, cwd=tree.parent)).startswith(str(app))
    assert (await run(sys.executable, "families/manifests.py", "chirp", "licences", cwd=tree)) == "Apache-2.0\n"
    await assert_that_it_speaks(tree / FOLDER / "packs", python=python)


@pytest.mark.timeout(600)
async def test_in_the_tree_it_keeps_the_contract_in_an_environment_of_its_own(tree: Path) -> None:
    cache = (await run(os.environ.get("UV", "uv"), "cache", "dir")).strip()
    out = await run(
        sys.executable, "-m", "tests.support.environments", "chirp", "-q", SUITE, "-k", "not memory",
        cwd=tree, XDG_CACHE_HOME=str(tree.parent / "cache"), UV_CACHE_DIR=cache,
    )  # fmt: skip
    assert re.search(r"^[2-4][0-9] passed, 1 deselected in ", out, re.MULTILINE), out


async def test_in_the_tree_its_imports_are_checked_and_its_row_is_written(tree: Path) -> None:
    assert "3 kept, 0 broken" in await run(sys.executable, "scripts/check_family_imports.py", cwd=tree)
    program = "from scripts.generate_families_page import PAGE, page; print(page(PAGE.read_text()))"
    page = await run(sys.executable, "-c", program, cwd=tree)
    assert re.search(r"^\| `chirp` \|.* yes \| no \| no \|$", page, re.MULTILINE)


def test_in_the_tree_no_other_file_was_edited(tree: Path) -> None:
    added = {name for name in files_of(tree) if name.startswith(f"{FOLDER}/")}
    assert added == {f"{FOLDER}/{name}" for name in (*files_of_the_page(), "uv.lock")}
    assert {name: data for name, data in files_of(tree).items() if name not in added} == files_of(ROOT)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package, installed for the processes that a test starts."""
    install(tmp_path / "site", files_of_the_page())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(tmp_path / "site" / "src")]))
    return tmp_path / "site"


@pytest.mark.timeout(300)
async def test_as_a_package_it_keeps_the_contract(package: Path) -> None:
    out = await run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE,
        # Of what a child gives back, its family changes nothing; and it takes a process for each of many loads.
        "--deselect", f"{SUITE}::test_memory_returns_after_many_loads[chirp, in a child process]",
        VOICEPLANE_CONTRACT_PACK=str(package / PACK),
    )  # fmt: skip
    passed = re.search(r"^(\d+) passed, 1 deselected in ", out, re.MULTILINE)
    assert passed, out
    assert int(passed[1]) >= 40, out


async def test_as_a_package_a_worker_speaks_with_it(package: Path) -> None:
    await assert_that_it_speaks(package / "packs")


async def test_as_a_package_the_doctor_lists_it_and_its_pack_is_right(package: Path) -> None:
    report = json.loads(await run(sys.executable, "-m", "voiceplane_cli.main", "doctor", "--json"))
    (chirp,) = (check for check in report["checks"] if check["name"] == "chirp")
    assert (chirp["purpose"], chirp["found"]) == ("family", "installed")
    lint = (sys.executable, "-m", "voiceplane_cli.main", "packs", "lint", "--packs-dir", str(package / "packs"))
    assert "1 packs, 0 problems" in await run(*lint)
