"""Checks what lies in the cache against its digests."""

from __future__ import annotations

import glob
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.artifacts.digests import file_digest, tree_digest
from voiceplane_common.artifacts.holds import digest_of
from voiceplane_common.artifacts.trees import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from voiceplane_common.artifacts.cache import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What an artifact of the cache is.

    Attributes:
        sha256: The digest of what is there.
        corrupt: Names of files with another content than they were fetched with.
        missing: Names of files that are not there any more.
        is_intact: Whether the whole has the digest under which the cache keeps it.
    """

    sha256: str
    corrupt: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_intact: bool = True


def verify(cache: Cache, path: Path, *, index: Mapping[str, str] | None = None) -> Verified:
    """Hash an artifact of the cache, or a file or folder anywhere, and compare. Blocking.

    Args:
        cache: The cache.
        path: The artifact, or a folder in it.
        index: The sha256 that each file must have, by its relative name; without one the cache's own names tell.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: see `trees.files_of`.
    """
    if kept_as := digest_of(cache, path):  # of a folder in an archive, what the archive held
        artifacts = cache.folder / "artifacts"
        path = artifacts / kept_as / path.relative_to(artifacts).parts[1]
    files = files_of(path)
    found = {name: file_digest(file) for name, file in files.items()}
    known = {blob.stat().st_ino: blob.name for blob in (cache.folder / "blobs").glob("*")}
    expected = {name: known[inode] for name, file in files.items() if (inode := file.stat().st_ino) in known}
    expected |= index or {}
    whole = tree_digest(found) if path.is_dir() else found[path.name]
    return Verified(
        sha256=whole,
        corrupt=tuple(name for name, sha256 in found.items() if expected.get(name, sha256) != sha256),
        missing=tuple(sorted((index or {}).keys() - found.keys())),
        is_intact=kept_as in {"", whole},
    )


def remove(cache: Cache, path: Path, verified: Verified) -> None:
    """Remove an artifact that is not intact, and its files that are damaged, so that the next fetch brings them.

    Other artifacts with one of those files go, too. What is not the cache's stays.
    """
    if not (name := digest_of(cache, path)):
        return
    holder = cache.folder / "artifacts" / name
    damaged = {file.stat().st_ino for each in verified.corrupt for file in holder.glob(f"*/{glob.escape(each)}")}
    shutil.rmtree(holder, ignore_errors=True)
    cache.drop(damaged)
