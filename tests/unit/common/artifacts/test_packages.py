"""`package:` sources: data of installed packages, whole or joined from parts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts import digest, fetch
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import left_in, tree_of, write_package, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Fetch = Callable[[str], Path]

BOTH = "package:part_one/data+part_two/data"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that Python finds."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def get(cache_dir: Path) -> Fetch:
    return lambda uri: fetch(uri, cache_dir=cache_dir)


def refused(get: Fetch, uri: str) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        get(uri)
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value


def test_a_packages_folder_is_used_where_it_lies(site: Path, get: Fetch, cache_dir: Path) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    assert get("package:one_voice/data") == site / "one_voice" / "data"
    assert not cache_dir.exists()


def test_one_file_of_a_package_can_be_named(site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    assert get("package:one_voice/data/model.onnx").read_bytes() == b"model"


def test_no_package_is_imported(site: Path, get: Fetch) -> None:
    write_package(site, "part_one", {"data/a": b"a"})  # its __init__ raises
    write_package(site, "part_two", {"data/b": b"b"})
    get(BOTH)
    assert not {"part_one", "part_two"} & sys.modules.keys()


def test_packages_are_joined_and_parts_become_one_file_in_the_order_of_their_numbers(site: Path, get: Fetch) -> None:
    first = {f"data/onnx/model.onnx.part{number}": f"{number},".encode() for number in range(1, 7)}
    second = {f"data/onnx/model.onnx.part{number}": f"{number},".encode() for number in range(7, 12)}
    write_package(site, "part_one", {**second, "data/config.json": b"{}"})
    write_package(site, "part_two", {**first, "data/voices/en": b"en"})
    assert tree_of(get(BOTH)) == {
        "config.json": b"{}",
        "onnx/model.onnx": b"1,2,3,4,5,6,7,8,9,10,11,",
        "voices/en": b"en",
    }


def test_parts_inside_of_one_package_are_joined_too(site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"data/model.part0": b"a", "data/model.part1": b"b"})
    assert tree_of(get("package:one_voice/data")) == {"model": b"ab"}


def test_parts_that_are_called_alike_are_joined_by_the_names_that_they_are_given(site: Path, get: Fetch) -> None:
    write_package(site, "part_one", {"part.bin": b"a"})
    write_package(site, "part_two", {"part.bin": b"b", "data/voices": b"v"})
    uri = "package:part_two/part.bin#onnx/model.part2+part_one/part.bin#onnx/model.part1+part_two/data"
    assert tree_of(get(uri)) == {"onnx/model": b"ab", "voices": b"v"}


def test_one_file_can_be_given_another_name(site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"part.bin": b"model"})
    assert tree_of(get("package:one_voice/part.bin#model.onnx")) == {"model.onnx": b"model"}


def test_a_folder_can_not_be_given_another_name(site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    error = refused(get, "package:one_voice/data#model.onnx")
    assert error.reason == "ARTIFACT_INVALID"
    assert "'one_voice/data' is a folder" in error.message


@pytest.mark.parametrize("name", ["../model.onnx", "/model.onnx"])
def test_a_name_that_leads_out_of_the_pack_is_refused(name: str, site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"part.bin": b"model"})
    assert refused(get, f"package:one_voice/part.bin#{name}").reason == "UNSAFE_PATH"


def test_code_of_the_packages_is_left_out_of_a_join(site: Path, get: Fetch) -> None:
    write_package(site, "part_one", {"a": b"a", "py.typed": b"", "__init__.pyi": b""})
    write_package(site, "part_two", {"b": b"b"})
    assert tree_of(get("package:part_one+part_two")) == {"a": b"a", "b": b"b"}


def test_a_join_is_checked_against_its_digest(site: Path, cache_dir: Path, tmp_path: Path) -> None:
    write_package(site, "part_one", {"data/model.part1": b"a"})
    write_package(site, "part_two", {"data/model.part2": b"b"})
    wanted = digest(write_tree(tmp_path / "joined", {"model": b"ab"}))
    with pytest.raises(VoiceplaneError) as caught:
        fetch(BOTH, sha256="0" * 64, cache_dir=cache_dir)
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert wanted in caught.value.message
    assert "0" * 64 in caught.value.message
    assert left_in(cache_dir) == []
    assert digest(fetch(BOTH, sha256=wanted, cache_dir=cache_dir)) == wanted


def test_a_folder_of_a_package_is_checked_against_its_digest(site: Path, cache_dir: Path) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    with pytest.raises(VoiceplaneError) as caught:
        fetch("package:one_voice/data", sha256="0" * 64, cache_dir=cache_dir)
    assert caught.value.reason == "DIGEST_MISMATCH"


@pytest.mark.parametrize(("version", "content"), [("1.1", b"new"), ("1.0", b"newer")], ids=["version", "size"])
def test_another_release_of_a_package_is_joined_again(
    version: str, content: bytes, site: Path, get: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_package(site, "part_one", {"data/a": b"old"})
    write_package(site, "part_two", {"data/b": b"b"})
    assert tree_of(get(BOTH))["a"] == b"old"
    write_package(tmp_path / "newer", "part_one", {"data/a": content}, version=version)
    monkeypatch.syspath_prepend(tmp_path / "newer")
    assert tree_of(get(BOTH))["a"] == content


def test_a_missing_part_is_named(site: Path, get: Fetch) -> None:
    write_package(site, "part_one", {"data/model.part1": b"a", "data/model.part3": b"c"})
    write_package(site, "part_two", {"data/b": b"b"})
    error = refused(get, BOTH)
    assert error.reason == "ARTIFACT_INVALID"
    assert "model: of its parts only [1, 3] are installed" in error.message


@pytest.mark.parametrize("name", ["config.json", "model.part1"])
def test_two_packages_with_the_same_file_are_refused(name: str, site: Path, get: Fetch) -> None:
    write_package(site, "part_one", {f"data/{name}": b"a"})
    write_package(site, "part_two", {f"data/{name}": b"b"})
    error = refused(get, BOTH)
    assert error.reason == "ARTIFACT_INVALID"
    assert name in error.message


@pytest.mark.parametrize("package", ["no_such_package", "no.such.package", "-r", "", "__main__"])
def test_a_missing_package_is_named_with_the_remedy(package: str, get: Fetch) -> None:
    error = refused(get, f"package:{package}/data")
    assert (error.reason, error.field) == ("PACKAGE_MISSING", "source.uri")
    assert f"{package!r} is not installed: install it" in error.message


def test_a_module_without_a_folder_holds_no_data(site: Path, get: Fetch) -> None:
    write_tree(site, {"only_a_module.py": b""})
    assert refused(get, "package:only_a_module/data").reason == "PACKAGE_MISSING"


def test_a_missing_folder_of_a_package_is_named(site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    error = refused(get, "package:one_voice/date")
    assert (error.reason, error.field) == ("ARTIFACT_MISSING", "source.uri")
    assert "'one_voice' has no 'date'" in error.message


@pytest.mark.parametrize("inside", ["../part_one", "/etc", "data/../../x"])
def test_a_path_out_of_the_package_is_refused(inside: str, site: Path, get: Fetch) -> None:
    write_package(site, "one_voice", {"data/model.onnx": b"model"})
    assert refused(get, f"package:one_voice/{inside}").reason == "UNSAFE_PATH"


@pytest.mark.parametrize("uri", ["package:part_one/data", BOTH])
def test_a_link_in_a_package_is_refused(uri: str, site: Path, get: Fetch, cache_dir: Path) -> None:
    write_package(site, "part_one", {"data/a": b"a"})
    write_package(site, "part_two", {"data/b": b"b"})
    (site / "part_one" / "data" / "hosts").symlink_to("/etc/hosts")
    assert refused(get, uri).reason == "UNSAFE_PATH"
    assert left_in(cache_dir) == []
