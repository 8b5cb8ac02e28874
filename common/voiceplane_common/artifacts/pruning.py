"""Removes what was not used for the longest time, so that the cache stays below a size.

What a process holds, what is kept on request and what was used within the grace period stays, even if the cache is too
large then. Artifacts share files: a file goes with the last artifact that has it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import filelock

from voiceplane_common.artifacts.holds import is_held, is_pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voiceplane_common.artifacts.cache import Cache

GRACE_S = 600.0
PARTIAL_AGE_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was done, or with `dry_run` what would be.

    Attributes:
        removed: Digests of the artifacts that were removed.
        kept: Of those that should have gone, and are in use, kept on request, or fresh.
        freed_bytes: What the disk has more now.
        left_bytes: What the cache takes now.
    """

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    freed_bytes: int = 0
    left_bytes: int = 0


@dataclass(slots=True)
class _File:
    """A file of the cache: one inode, and the artifacts that have it."""

    size_bytes: int = 0
    holders: set[str] = field(default_factory=set)
    blob: Path | None = None
    used_at: float = 0.0


def prune(
    cache: Cache,
    *,
    max_bytes: int | None = None,
    unused_s: float | None = None,
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    now: Callable[[], float] = time.time,
) -> Pruned | None:
    """Remove artifacts, those first that were not used for the longest time. Blocking.

    Parts of files that were given up a week ago, and files that no artifact has any more, go in any case.

    Args:
        cache: The cache.
        max_bytes: How much it may take; None: any size.
        unused_s: Remove, whatever the size, what was not used for so many seconds; None: nothing is too old.
        grace_s: What was used within so many seconds stays.
        dry_run: Remove nothing.
        now: Seconds since the epoch.

    Returns:
        None if another process is at it.

    Raises:
        OSError: The cache can't be written.
    """
    if not cache.folder.is_dir():
        return Pruned()
    cache.blobs.prepare()
    lock = filelock.FileLock(cache.folder / "locks" / "prune")
    try:
        with lock.acquire(timeout=0):
            return _Pruning(cache, grace_s=grace_s, dry_run=dry_run, now=now()).run(max_bytes, unused_s)
    except filelock.Timeout:
        return None


class _Pruning:
    def __init__(self, cache: Cache, *, grace_s: float, dry_run: bool, now: float) -> None:
        self._cache = cache
        self._fresh = now - grace_s
        self._dry_run = dry_run
        self._now = now
        self._files = _files_of(cache)
        self._size = sum(file.size_bytes for file in self._files.values())

    def run(self, max_bytes: int | None, unused_s: float | None) -> Pruned:
        before = self._size
        removed: list[str] = []
        kept: list[str] = []
        self._remove_partials()
        for file in self._files.values():
            self._remove_orphan(file)
        for holder in _by_age(self._cache):
            idle_s = self._now - _used_at(holder)
            too_old = unused_s is not None and idle_s > unused_s
            too_large = max_bytes is not None and self._size > max_bytes
            if not (too_old or too_large):
                break
            if self._stays(holder):
                kept.append(holder.name)
                continue
            self._remove(holder)
            removed.append(holder.name)
        return Pruned(removed=tuple(removed), kept=tuple(kept), freed_bytes=before - self._size, left_bytes=self._size)

    def _stays(self, holder: Path) -> bool:
        name = holder.name
        return _used_at(holder) > self._fresh or is_pinned(self._cache, name) or is_held(self._cache, name)

    def _remove(self, holder: Path) -> None:
        if not self._dry_run:
            shutil.rmtree(holder, ignore_errors=True)
            (self._cache.folder / "uses" / holder.name).unlink(missing_ok=True)
        for file in self._files.values():
            if holder.name in file.holders:
                file.holders.discard(holder.name)
                if file.blob is None and not file.holders:
                    self._size -= file.size_bytes
                self._remove_orphan(file)

    def _remove_orphan(self, file: _File) -> None:
        """Remove a file that no artifact has, unless a fetch may be about to use it."""
        if file.blob is None or file.holders or file.used_at > self._fresh:
            return
        if not self._dry_run:
            file.blob.unlink(missing_ok=True)
        file.blob = None
        self._size -= file.size_bytes

    def _remove_partials(self) -> None:
        for path in _walk(self._cache.folder / "partial"):
            with contextlib.suppress(OSError):  # it has got its place meanwhile
                status = path.stat()
                if status.st_mtime < self._now - PARTIAL_AGE_S:
                    file = self._files.pop(status.st_ino, None)
                    self._size -= file.size_bytes if file else 0
                    if not self._dry_run:
                        path.unlink()


def size_of(cache: Cache) -> int:
    """Bytes that the cache takes on the disk, each file once."""
    return sum(file.size_bytes for file in _files_of(cache).values())


def _files_of(cache: Cache) -> dict[int, _File]:
    found: dict[int, _File] = {}
    artifacts = cache.folder / "artifacts"
    for folder in (artifacts, cache.folder / "blobs", cache.folder / "partial"):
        for path in _walk(folder):
            try:
                status = path.stat()
            except OSError:  # removed meanwhile
                continue
            file = found.setdefault(status.st_ino, _File())
            file.size_bytes = min(status.st_size, status.st_blocks * 512)
            file.used_at = status.st_mtime
            if folder == artifacts:
                file.holders.add(path.relative_to(folder).parts[0])
            elif folder.name == "blobs":
                file.blob = path
    return found


def _by_age(cache: Cache) -> list[Path]:
    folder = cache.folder / "artifacts"
    holders = [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    return sorted(holders, key=_used_at)


def _used_at(holder: Path) -> float:
    try:
        return holder.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _walk(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.rglob("*") if path.is_file())
