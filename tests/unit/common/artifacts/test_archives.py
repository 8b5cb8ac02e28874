"""Archives: unpacked once, and never beyond their folder or their measure."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts.archives import FREE_BYTES, MAX_FILES, is_archive, unpack
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import left_in, tree_of

if TYPE_CHECKING:
    from pathlib import Path

PACK = {"metadata.yaml": b"a", "onnx/model.onnx": b"b" * 100_000}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("onnx")
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    compression = {".gz": "gz", ".tgz": "gz", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]  # it is one of the four
        tar.addfile(_member("onnx", kind=tarfile.DIRTYPE))
        for name, content in files.items():
            tar.addfile(_member(name, size=len(content)), io.BytesIO(content))
    return path


def _member(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, target
    return member


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def refused(archive: Path, cache_dir: Path) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        unpack(archive, cache_dir=cache_dir)
    assert left_in(cache_dir) == []
    return caught.value


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["pack.tar", "pack.tar.gz", "pack.tgz", "pack.tar.xz", "pack.zip"])
def test_an_archive_is_unpacked_once(tmp_path: Path, cache_dir: Path, name: str) -> None:
    archive = packed(tmp_path / name, PACK)
    assert is_archive(archive)
    folder = unpack(archive, cache_dir=cache_dir)
    assert tree_of(folder) == PACK
    assert unpack(archive, cache_dir=cache_dir) == folder
    archive.unlink()
    other = packed(tmp_path / name, PACK | {"metadata.yaml": b"other"})
    assert unpack(other, cache_dir=cache_dir) != folder


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, cache_dir: Path, name: str, suffix: str) -> None:
    archive = packed(tmp_path / f"pack.{suffix}", {name: b"x"})
    assert refused(archive, cache_dir).reason == "UNSAFE_PATH"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_special_files_are_refused(tmp_path: Path, cache_dir: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "pack.tar", _member("a", size=1), _member("model.onnx", kind=kind, target="a"))
    assert refused(archive, cache_dir).reason == "UNSAFE_PATH"


def test_a_link_in_a_zip_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    link = zipfile.ZipInfo("model.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refused(tmp_path / "pack.zip", cache_dir).reason == "UNSAFE_PATH"


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.zip"])
def test_a_bomb_is_refused_before_it_has_filled_the_disk(tmp_path: Path, cache_dir: Path, name: str) -> None:
    archive = packed(tmp_path / name, {"zeros": bytes(4 * FREE_BYTES)})
    assert archive.stat().st_size * 100 + FREE_BYTES < 4 * FREE_BYTES
    error = refused(archive, cache_dir)
    assert (error.reason, "100 times" in error.message) == ("ARTIFACT_INVALID", True)


def test_too_many_files_are_refused(tmp_path: Path, cache_dir: Path) -> None:
    members = [_member(f"{number}") for number in range(MAX_FILES + 1)]
    assert f"more than {MAX_FILES} files" in refused(tar_of(tmp_path / "many.tar", *members), cache_dir).message


def test_two_things_of_one_name_are_refused(tmp_path: Path, cache_dir: Path) -> None:
    twice = tar_of(tmp_path / "twice.tar", _member("a", size=1), _member("a", size=2))
    assert "two things of the name a" in refused(twice, cache_dir).message
    below = tar_of(tmp_path / "below.tar", _member("a", size=1), _member("a/b", size=2))
    assert refused(below, cache_dir).reason == "ARTIFACT_INVALID"


@pytest.mark.parametrize("name", ["pack.tar", "pack.tar.gz", "pack.tar.xz", "pack.zip"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_broken_archive_is_refused(tmp_path: Path, cache_dir: Path, name: str, damage: str) -> None:
    archive = packed(tmp_path / name, {"model.onnx": bytes(range(256)) * 400})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no archive at all" * 64)
    assert refused(archive, cache_dir).reason == "ARTIFACT_INVALID"
