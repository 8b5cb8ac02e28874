"""The cache on disk: each artifact under its digest, complete or not there at all.

Layout of the folder: `artifacts/<digest>/<name>` holds an artifact, `index/<key>` the digest of what a key gave
before, `locks/` one lock a key, `partial/<key>` what its holder is writing. An artifact is written below `partial/`,
flushed to the disk and renamed into place, so neither a crash nor a second process ever sees a part of one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import platformdirs

from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK_TIMEOUT_S = 1800.0
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def default_cache_dir() -> Path:
    """VOICEPLANE_CACHE_DIR, or the user's cache folder."""
    return Path(os.environ.get("VOICEPLANE_CACHE_DIR") or platformdirs.user_cache_dir("voiceplane"))


class Cache:
    """One cache folder; processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, sha256: str) -> Path | None:
        """The artifact with a digest."""
        holder = self._folder / "artifacts" / sha256
        return next(holder.iterdir(), None) if sha256 and holder.is_dir() else None

    def find_key(self, key: str) -> Path | None:
        """What a key gave before."""
        try:
            return self.find((self._folder / "index" / _hashed(key)).read_text(encoding="ascii"))
        except OSError:
            return None

    def add(
        self, *, key: str, remember: bool, name: str, sha256: str, size_bytes: int, write: Callable[[Path], None]
    ) -> Path:
        """Write an artifact, check it, and put it in its place.

        Args:
            key: What identifies the source: two processes never write the same one at once.
            remember: Whether the key always gives the same content.
            name: The artifact's last path component.
            sha256: The digest that it must have; empty: any.
            size_bytes: About how much there is to write, for the message of a full disk.
            write: Writes the artifact, a file or a folder, at the path that it is given.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, DIGEST_MISMATCH. RESOURCE_EXHAUSTED, DISK_FULL. UNAVAILABLE,
                CACHE_BUSY or CACHE_UNUSABLE. Or what `write` raises. Nothing is left behind.
        """
        try:
            for each in ("artifacts", "index", "locks", "partial"):
                (self._folder / each).mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._folder / "locks" / _hashed(key), timeout=LOCK_TIMEOUT_S):
                found = self.find(sha256) or (self.find_key(key) if remember else None)
                return found or self._write(key=key, remember=remember, name=name, sha256=sha256, write=write)
        except filelock.Timeout:
            raise unavailable("CACHE_BUSY", f"another process holds {self._folder} for too long") from None
        except OSError as error:
            raise self._explain(error, size_bytes) from error

    def _write(self, *, key: str, remember: bool, name: str, sha256: str, write: Callable[[Path], None]) -> Path:
        # We hold the key's lock, so whatever is there is left from a process that was killed.
        partial = self._folder / "partial" / _hashed(key)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            holder = partial / "holder"
            holder.mkdir(parents=True)
            write(holder / name)
            found = digest(holder / name)
            check_digest(found, sha256, what=key)
            _flush(holder)
            target = self._folder / "artifacts" / found
            if not target.exists():
                self._place(holder, target)
            if remember:
                self._remember(key, found, partial)
            return target / name if (target / name).exists() else next(target.iterdir())
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @staticmethod
    def _place(holder: Path, target: Path) -> None:
        try:
            holder.rename(target)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # the same content, from another source, was faster
                raise

    def _remember(self, key: str, sha256: str, partial: Path) -> None:
        note = partial / "note"
        note.write_text(sha256, encoding="ascii")
        note.rename(self._folder / "index" / _hashed(key))

    def _explain(self, error: OSError, size_bytes: int) -> VoiceplaneError:
        if error.errno in DISK_FULL:
            free = shutil.disk_usage(_existing(self._folder)).free
            message = (
                f"the disk of {self._folder} is full: {size_bytes} bytes are needed, {free} are free; "
                "free some, or set VOICEPLANE_CACHE_DIR to a larger disk"
            )
            return exhausted("DISK_FULL", message)
        message = f"cannot write the cache {self._folder}: {error}; set VOICEPLANE_CACHE_DIR to a writable folder"
        return unavailable("CACHE_UNUSABLE", message)


def check_digest(found: str, expected: str, *, what: str) -> None:
    """Compare digests.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, DIGEST_MISMATCH; names both. An empty expectation always holds.
    """
    if expected and found != expected:
        message = f"{what} has the sha256 {found}, and {expected} is expected: correct the digest or the source"
        raise failed_precondition("DIGEST_MISMATCH", message, field="source.sha256")


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _flush(holder: Path) -> None:
    for file in files_of(holder).values():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
