"""Holds: what is in use stays in the cache. A process that ends, also by a kill, holds nothing any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_common.artifacts.cache import Cache


class Hold:
    """Keeps an artifact in the cache until it is released, or until nothing refers to it any more.

    Attributes:
        digest: The artifact's.
    """

    def __init__(self, handle: int, digest: str) -> None:
        self.digest = digest
        self._end = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        """Let it go; a second time does nothing."""
        self._end()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A copy in a child process holds nothing: the parent does.
        return type(None), ()


def hold(cache: Cache, path: Path) -> Hold | None:
    """Hold the artifact that a path is, or is inside of.

    Returns:
        None if it is not the cache's, or the cache may only be read: nothing removes it then.
    """
    digest = digest_of(cache, path)
    if not digest:
        return None
    with contextlib.suppress(OSError):
        (cache.folder / "uses").mkdir(exist_ok=True)  # a cache of an older release has none
        handle = os.open(cache.folder / "uses" / digest, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError:
            os.close(handle)
            raise
        return Hold(handle, digest)
    return None


def is_held(cache: Cache, digest: str) -> bool:
    """Whether any process holds an artifact."""
    try:
        handle = os.open(cache.folder / "uses" / digest, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def pin(cache: Cache, digest: str) -> None:
    """Keep an artifact until it is unpinned."""
    (cache.folder / "pins" / digest).touch()


def unpin(cache: Cache, digest: str) -> None:
    """Let an artifact be removed when it has not been used for long."""
    (cache.folder / "pins" / digest).unlink(missing_ok=True)


def is_pinned(cache: Cache, digest: str) -> bool:
    """Whether an artifact was pinned."""
    return (cache.folder / "pins" / digest).exists()


def digest_of(cache: Cache, path: Path) -> str:
    """The digest of the artifact that a path is inside of; empty if it is not the cache's."""
    try:
        return path.relative_to(cache.folder / "artifacts").parts[0]
    except (ValueError, IndexError):
        return ""
