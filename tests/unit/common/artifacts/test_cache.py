"""The cache holds an artifact completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.errors import VoiceplaneError, unavailable

from tests.support.artifacts import add_file, left_in, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"a voice"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER_SHA256 = hashlib.sha256(b"another voice").hexdigest()


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(cache_dir: Path) -> Cache:
    return Cache(cache_dir)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting needs privileges: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_an_artifact_is_found_by_its_digest(cache: Cache, cache_dir: Path) -> None:
    path = add_file(cache, key="https://a/file", content=CONTENT, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert cache.find(SHA256) == path
    assert path == cache_dir / "artifacts" / SHA256 / "file"
    assert cache.find(OTHER_SHA256) is None


def test_no_digest_finds_nothing(cache: Cache) -> None:
    add_file(cache, key="https://a/file", content=CONTENT)
    assert cache.find("") is None


def test_a_wrong_digest_names_both_and_leaves_nothing(cache: Cache, cache_dir: Path) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        add_file(cache, key="https://a/file", content=CONTENT, sha256=OTHER_SHA256, remember=True)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DIGEST_MISMATCH")
    assert caught.value.field == "source.sha256"
    assert all(part in caught.value.message for part in (SHA256, OTHER_SHA256, "https://a/file"))
    assert left_in(cache_dir) == []


def test_what_has_a_known_digest_is_not_written_again(cache: Cache) -> None:
    first = add_file(cache, key="https://a/file", content=CONTENT, sha256=SHA256)
    assert add_file(cache, key="https://b/file", content=b"would be wrong", sha256=SHA256) == first


def test_the_same_content_from_two_sources_is_kept_once(cache: Cache, cache_dir: Path) -> None:
    paths = {add_file(cache, key=key, content=CONTENT) for key in ("https://a/file", "https://b/file")}
    assert len(paths) == 1
    assert list(tree_of(cache_dir / "artifacts")) == [f"{SHA256}/file"]


def test_only_a_remembered_key_is_not_asked_again(cache: Cache) -> None:
    for remember, second in ((True, b"old"), (False, b"new")):
        add_file(cache, key=f"key {remember}", content=b"old", remember=remember)
        again = add_file(cache, key=f"key {remember}", content=b"new", remember=remember)
        assert again.read_bytes() == second


def test_a_remembered_key_whose_artifact_was_deleted_is_written_again(cache: Cache) -> None:
    path = add_file(cache, key="key", content=CONTENT, remember=True)
    path.unlink()
    path.parent.rmdir()
    assert cache.find_key("key") is None
    assert add_file(cache, key="key", content=CONTENT, remember=True).read_bytes() == CONTENT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_with_both_numbers_and_leaves_nothing(
    number: int, cache: Cache, cache_dir: Path
) -> None:
    def write(target: Path) -> None:
        target.write_bytes(CONTENT)
        raise OSError(number, "full")

    with pytest.raises(VoiceplaneError) as caught:
        cache.add(key="key", remember=True, name="file", sha256="", size_bytes=987_654, write=write)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert "987654 bytes are needed" in caught.value.message
    assert "VOICEPLANE_CACHE_DIR" in caught.value.message
    assert left_in(cache_dir) == []


def test_a_disk_that_is_really_full_gets_its_space_back(small_disk: Path) -> None:
    cache = Cache(small_disk / "cache")
    with pytest.raises(VoiceplaneError) as caught:
        add_file(cache, key="large", content=bytes(2 << 20))
    assert caught.value.reason == "DISK_FULL"
    assert left_in(small_disk / "cache") == []
    assert add_file(cache, key="small", content=bytes(700_000)).stat().st_size == 700_000


def test_a_full_disk_without_a_cache_folder_is_reported(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)
    with pytest.raises(VoiceplaneError, match="is full") as caught:
        add_file(cache, key="key", content=CONTENT)
    assert caught.value.reason == "DISK_FULL"


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VoiceplaneError, match="set VOICEPLANE_CACHE_DIR to a writable folder") as caught:
        add_file(Cache(tmp_path / "file" / "cache"), key="key", content=CONTENT)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "CACHE_UNUSABLE")


def test_a_failed_write_passes_its_error_on_and_leaves_nothing(cache: Cache, cache_dir: Path) -> None:
    def write(target: Path) -> None:
        target.write_bytes(CONTENT)
        raise unavailable("FETCH_FAILED", "the connection broke")

    with pytest.raises(VoiceplaneError, match="the connection broke"):
        cache.add(key="key", remember=True, name="file", sha256="", size_bytes=0, write=write)
    assert left_in(cache_dir) == []


def test_a_key_that_is_held_for_too_long_is_an_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceplane_common.artifacts.cache.LOCK_TIMEOUT_S", 0.0)

    def write(target: Path) -> None:
        target.write_bytes(CONTENT)
        with pytest.raises(VoiceplaneError, match="another process holds") as caught:
            add_file(cache, key="key", content=CONTENT)
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "CACHE_BUSY")
        assert add_file(cache, key="another key", content=b"else").read_bytes() == b"else"

    cache.add(key="key", remember=False, name="file", sha256="", size_bytes=0, write=write)


def test_the_variable_moves_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", "")
    assert default_cache_dir().name == "voiceplane"
