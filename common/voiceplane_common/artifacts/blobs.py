"""The content of files, each once, under its sha256: what artifacts are linked from.

`blobs/<sha256>` is a file, read-only. `index/<key>` says which one a remote file's identity gave. `partial/<key>` is
one on its way. A file is not flushed to the disk before it is used, which would take longer than its download: until a
thread has done that, `unsynced/<boot>/<sha256>` marks it, and after a restart of the machine it is hashed again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import filelock

from voiceplane_common.artifacts.digests import file_digest
from voiceplane_common.artifacts.partial import boot_id

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_common.artifacts.partial import Partial

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FOLDERS = ("artifacts", "blobs", "index", "locks", "partial", "sources", "uses", "pins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of the cache.

    Attributes:
        path: Where it is.
        sha256: Its digest.
        size_bytes: Its size.
    """

    path: Path
    sha256: str
    size_bytes: int


class Blobs:
    """The blobs of one cache folder; processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the cache's folders."""
        for each in FOLDERS:
            (self._folder / each).mkdir(parents=True, exist_ok=True)

    def find(self, *, sha256: str = "", identity: str = "") -> Blob | None:
        """A file by its digest, or by what it was fetched as; it is noted as used now, so that no pruning takes it."""
        if not sha256 and identity:
            sha256 = self.read_index(f"file:{identity}")
        path = self._folder / "blobs" / sha256
        if not sha256 or not path.is_file():
            return None
        touch(path)
        return Blob(path=path, sha256=sha256, size_bytes=path.stat().st_size)

    def add(self, partial: Partial, *, sha256: str, identity: str) -> Blob:
        """Give a file its place."""
        path = self._folder / "blobs" / sha256
        mark = self._folder / "unsynced" / (boot_id() or "unknown") / sha256
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        partial.place(path)
        self.write_index(f"file:{identity}", sha256)
        threading.Thread(target=_sync, args=(path, mark), name="sync", daemon=True).start()
        return Blob(path=path, sha256=sha256, size_bytes=path.stat().st_size)

    def lock_of(self, identity: str) -> filelock.BaseFileLock:
        """What a process holds while it fetches a file."""
        return filelock.FileLock(self._folder / "locks" / hashed(f"file:{identity}"))

    def partial_of(self, identity: str) -> Path:
        """Where a file lies while it is on its way."""
        return self._folder / "partial" / f"{hashed(f'file:{identity}')}.part"

    def partial_bytes(self, identity: str) -> int:
        """How much of a file on its way is on the disk, about."""
        try:
            return self.partial_of(identity).stat().st_blocks * 512
        except OSError:
            return 0

    def read_index(self, key: str) -> str:
        """What a key gave before; empty if nothing."""
        try:
            return (self._folder / "index" / hashed(key)).read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def write_index(self, key: str, sha256: str) -> None:
        """Note what a key gives."""
        replace_text(self._folder / "index" / hashed(key), sha256)

    @staticmethod
    def is_full(error: OSError) -> bool:
        """Whether an error says that the disk is full."""
        return error.errno in FULL

    def damaged(self) -> set[int]:
        """Inodes of files that the machine's last stop has damaged; they are removed here."""
        found = set()
        for mark in (self._folder / "unsynced").glob("*/*"):
            if mark.parent.name == (boot_id() or "unknown"):
                continue
            path = self._folder / "blobs" / mark.name
            with contextlib.suppress(OSError):
                if path.is_file() and file_digest(path) != path.name:
                    found.add(path.stat().st_ino)
                    path.unlink()
                mark.unlink()
        return found


def touch(path: Path) -> None:
    """Note that something is used now."""
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(path)


def hashed(key: str) -> str:
    """A key as a file name."""
    return hashlib.sha256(key.encode()).hexdigest()


def replace_text(path: Path, text: str) -> None:
    """Write a small file so that no reader sees a part of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file of the cache into an artifact: by a link, or as a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES}:
            raise
        target.write_bytes(source.read_bytes())


def _sync(path: Path, mark: Path) -> None:
    with contextlib.suppress(OSError):  # the cache was removed meanwhile
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        mark.unlink(missing_ok=True)
