"""What a URI names: its scheme, and files of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts import digest, fetch
from voiceplane_common.artifacts.fetching import SCHEMES
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import write_tree

if TYPE_CHECKING:
    from pathlib import Path


def refused(uri: str, *, sha256: str = "") -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, sha256=sha256)
    return caught.value


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(folder))
    return folder


@pytest.mark.parametrize("uri", ["ftp://host/x", "http://host/x", "/plain/path", "ftp:", ""])
def test_an_unknown_scheme_is_refused_with_the_known_ones(uri: str) -> None:
    error = refused(uri)
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "source.uri")
    assert repr(uri) in error.message
    assert all(f"{scheme}:" in error.message for scheme in SCHEMES)


def test_a_folder_is_used_where_it_lies(tmp_path: Path, cache_dir: Path) -> None:
    folder = write_tree(tmp_path / "a voice", {"model.onnx": b"model"})
    assert fetch(folder.as_uri()) == folder
    assert fetch(f"file://localhost{folder.as_uri().removeprefix('file://')}") == folder
    assert not cache_dir.exists()


@pytest.mark.parametrize("name", ["folder", "folder/model.onnx"])
def test_what_lies_here_is_checked_against_its_digest(name: str, tmp_path: Path) -> None:
    path = write_tree(tmp_path / "folder", {"model.onnx": b"model"}).parent / name
    assert fetch(path.as_uri(), sha256=digest(path)) == path
    error = refused(path.as_uri(), sha256="0" * 64)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DIGEST_MISMATCH")
    assert digest(path) in error.message
    assert "0" * 64 in error.message


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    error = refused((tmp_path / "absent").as_uri())
    assert error.reason == "ARTIFACT_MISSING"
    assert str(tmp_path / "absent") in error.message


@pytest.mark.parametrize("uri", ["file://elsewhere/x", "file:x", "file:///a/../b", "file:///a/%2e%2e/b", "file:"])
def test_only_absolute_paths_of_this_machine_are_taken(uri: str) -> None:
    error = refused(uri)
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "source.uri")
    assert uri in error.message


def test_a_link_is_refused_itself_and_inside(tmp_path: Path, cache_dir: Path) -> None:
    folder = write_tree(tmp_path / "folder", {"model.onnx": b"model"})
    (tmp_path / "link").symlink_to(folder)
    assert refused((tmp_path / "link").as_uri()).reason == "UNSAFE_PATH"
    (folder / "passwd").symlink_to("/etc/passwd")
    assert refused(folder.as_uri()).reason == "UNSAFE_PATH"
    assert not cache_dir.exists()
