"""What lies in the cache is compared with its digests, and what is damaged is named and removed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import FetchLimits, fetch
from voiceplane_common.artifacts.cache import Cache
from voiceplane_common.artifacts.verification import remove, verify

from tests.support.artifacts import add_file, tree_of, write_tree
from tests.support.file_server import Served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.file_server import FileServer

FILES = {"model": b"a model", "config": b"a configuration"}
INDEX = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@pytest.fixture
def cache(cache_dir: Path) -> Cache:
    return Cache(cache_dir)


@pytest.fixture
def pack(web: FileServer, cache: Cache, quick: FetchLimits) -> Path:
    web.files |= {f"/v/{name}": Served(content) for name, content in FILES.items()}
    return fetched(web, cache, quick)


def fetched(web: FileServer, cache: Cache, limits: FetchLimits) -> Path:
    return fetch(f"{web.url}/v/", index=INDEX, cache_dir=cache.folder, limits=limits)


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"rotten")


def test_what_is_as_it_was_fetched_is_intact(pack: Path, cache: Cache) -> None:
    found = verify(cache, pack, index=INDEX)
    assert (found.corrupt, found.missing, found.is_intact) == ((), (), True)
    assert found.sha256 == pack.parent.name


@pytest.mark.parametrize("index", [INDEX, None])
def test_a_damaged_file_is_named(index: dict[str, str] | None, pack: Path, cache: Cache) -> None:
    damage(pack / "model")
    found = verify(cache, pack, index=index)
    assert (found.corrupt, found.is_intact) == (("model",), False)


def test_a_file_that_is_gone_is_named(pack: Path, cache: Cache) -> None:
    (pack / "config").unlink()
    found = verify(cache, pack, index=INDEX)
    assert (found.missing, found.is_intact) == (("config",), False)
    assert not verify(cache, pack).is_intact


def test_what_was_joined_is_compared_as_a_whole(cache: Cache) -> None:
    path = add_file(cache, key="joined", content=b"joined")
    assert verify(cache, path).is_intact
    damage(path)
    assert not verify(cache, path).is_intact


def test_after_a_removal_the_next_fetch_brings_what_was_damaged_and_no_more(
    pack: Path, cache: Cache, web: FileServer, quick: FetchLimits
) -> None:
    damage(pack / "model")
    remove(cache, pack, verify(cache, pack))
    assert not pack.exists()
    before = web.sent_bytes
    assert tree_of(fetched(web, cache, quick)) == FILES
    assert web.sent_bytes == before + len(FILES["model"])


def test_what_is_not_the_caches_is_left_alone(cache: Cache, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "elsewhere", FILES)
    found = verify(cache, folder, index={"model": "0" * 64})
    assert found.corrupt == ("model",)
    remove(cache, folder, found)
    assert tree_of(folder) == FILES
