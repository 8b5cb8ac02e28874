"""Archives: a folder as one file, unpacked into the cache with care, since what is in one is not to be trusted."""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.artifacts.copying import copy_all
from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.errors import VoiceplaneError, failed_precondition

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
MAX_FILES = 10_000
# Weights hardly shrink, so an archive that grows by more than this is a bomb.
MAX_GROWTH = 100
FREE_BYTES = 16 << 20
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # zipfile's, of a file that is encrypted
    NotImplementedError,  # likewise, of a compression that it does not know
)


def is_archive(path: Path) -> bool:
    """Whether a file is one, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, *, sha256: str = "", cache_dir: Path | None = None) -> Path:
    """The folder that an archive holds; unpacked once for each content. Blocking.

    Args:
        archive: A .tar, .tar.gz, .tgz, .tar.xz or .zip.
        sha256: Its digest if that is known, since a large one takes long to read; empty to read it.
        cache_dir: None for VOICEPLANE_CACHE_DIR or the user's cache folder.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: UNSAFE_PATH: a name that leads out of it, a link or a special file.
            ARTIFACT_INVALID: it is broken, encrypted, or holds more than `MAX_FILES` files or `MAX_GROWTH` times its
            size. RESOURCE_EXHAUSTED: DISK_FULL. UNAVAILABLE: CACHE_BUSY or CACHE_UNUSABLE.
    """
    size_bytes = archive.stat().st_size
    left_bytes = size_bytes * MAX_GROWTH + FREE_BYTES

    def copied(count: int) -> None:
        nonlocal left_bytes
        left_bytes -= count
        if left_bytes < 0:
            raise _invalid(archive, f"holds more than {MAX_GROWTH} times its own size")

    def write(target: Path) -> None:
        try:
            with closing(_entries(archive)) as entries:
                copy_all(entries, target, copied=copied)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            name = Path(error.filename).relative_to(target)
            raise _invalid(archive, f"holds two things of the name {name}") from None
        except BROKEN as error:
            raise _invalid(archive, f"cannot be unpacked: {type(error).__name__}: {error}") from error

    key = f"unpacked:{sha256 or digest(archive)}"
    cache = Cache(cache_dir or default_cache_dir())
    return cache.find_key(key) or cache.add(
        key=key, remember=True, name="data", sha256="", size_bytes=size_bytes, write=write
    )


def _entries(archive: Path) -> Generator[tuple[str, Iterator[BinaryIO]]]:
    """Each file's name with its content, in the archive's order."""
    with closing(_of_zip(archive) if archive.name.lower().endswith(".zip") else _of_tar(archive)) as opened:
        for number, (name, content) in enumerate(opened):
            if number >= MAX_FILES:
                raise _invalid(archive, f"holds more than {MAX_FILES} files")
            yield safe_name(name), iter([content])


def _of_tar(archive: Path) -> Generator[tuple[str, BinaryIO]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise _unsafe(archive, member.name)
            with content:
                yield member.name, cast("BinaryIO", content)


def _of_zip(archive: Path) -> Generator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(archive) as unzipped:
        for member in unzipped.infolist():
            if member.is_dir():
                continue
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                raise _unsafe(archive, member.filename)
            with unzipped.open(member) as content:
                yield member.filename, cast("BinaryIO", content)


def _unsafe(archive: Path, name: str) -> VoiceplaneError:
    message = f"{archive.name} holds {name!r}, which is no plain file: pack the files that links point to"
    return failed_precondition("UNSAFE_PATH", message, field="source.uri")


def _invalid(archive: Path, problem: str) -> VoiceplaneError:
    return failed_precondition("ARTIFACT_INVALID", f"{archive.name} {problem}", field="source.uri")
