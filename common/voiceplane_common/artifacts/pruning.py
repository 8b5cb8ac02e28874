"""Removes what was not used for the longest time, so that the cache stays below a size.

What a process holds, what is pinned and what was used within the grace period stays, even if the cache is too large
then.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.artifacts.holds import is_held, is_pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from voiceplane_common.artifacts.cache import Cache

GRACE_S = 600.0
PARTIAL_AGE_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was done.

    Attributes:
        removed: Digests of the artifacts that were removed.
        kept: Of those that are in use, pinned or fresh.
        freed_bytes: What the disk has more now.
        left_bytes: What the cache takes now.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    freed_bytes: int
    left_bytes: int


def prune(
    cache: Cache,
    *,
    max_bytes: int = 0,
    unused_s: float | None = None,
    grace_s: float = GRACE_S,
    now: Callable[[], float] = time.time,
) -> Pruned:
    """Remove artifacts, those first that were not used for the longest time, until the cache is small enough. Blocking.

    Args:
        cache: The cache.
        max_bytes: How much it may take; 0: everything that may be removed is.
        unused_s: Remove besides, whatever the size, what was not used for so many seconds.
        grace_s: What was used within so many seconds stays.
        now: Seconds since the epoch.
    """
    before = size_of(cache)
    size = before
    removed, kept = [], []
    size -= _remove_partials(cache, now() - PARTIAL_AGE_S)
    for holder in _by_age(cache):
        idle_s = now() - holder.stat().st_mtime
        too_old = unused_s is not None and idle_s > unused_s
        if size <= max_bytes and not too_old:
            break
        if idle_s < grace_s or is_pinned(cache, holder.name) or is_held(cache, holder.name):
            kept.append(holder.name)
            continue
        shutil.rmtree(holder, ignore_errors=True)
        (cache.folder / "uses" / holder.name).unlink(missing_ok=True)
        removed.append(holder.name)
        _remove_blobs(cache, now() - grace_s)
        size = size_of(cache)
    _remove_blobs(cache, now() - grace_s)
    left = size_of(cache)
    return Pruned(removed=tuple(removed), kept=tuple(kept), freed_bytes=max(0, before - left), left_bytes=left)


def size_of(cache: Cache) -> int:
    """Bytes that the cache takes on the disk, each file once."""
    seen: dict[int, int] = {}
    for folder in ("artifacts", "blobs", "partial"):
        for path in _files(cache.folder / folder):
            try:
                status = path.stat()
            except OSError:
                continue
            seen[status.st_ino] = min(status.st_size, status.st_blocks * 512)
    return sum(seen.values())


def _by_age(cache: Cache) -> list[Path]:
    folder = cache.folder / "artifacts"
    holders = [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    return sorted(holders, key=lambda holder: holder.stat().st_mtime)


def _remove_blobs(cache: Cache, before: float) -> None:
    """Remove files that no artifact has any more."""
    for path in _files(cache.folder / "blobs"):
        status = path.stat()
        if status.st_nlink == 1 and status.st_ctime < before:
            path.unlink(missing_ok=True)


def _remove_partials(cache: Cache, before: float) -> int:
    freed = 0
    for path in _files(cache.folder / "partial"):
        status = path.stat()
        if status.st_mtime < before:
            freed += min(status.st_size, status.st_blocks * 512)
            path.unlink(missing_ok=True)
    return freed


def _files(folder: Path) -> Iterator[Path]:
    found: Iterable[Path] = folder.rglob("*") if folder.is_dir() else ()
    yield from (path for path in found if path.is_file())
