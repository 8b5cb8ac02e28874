"""The cache on disk: each artifact under its digest, complete or not there at all.

Layout of the folder:

- `artifacts/<digest>/<name>` is an artifact. Its files are hard links to those of `blobs/`, see `blobs`.
- `index/<key>` holds the digest that a key gave before, `sources/<key>` what a source resolved to last.
- `locks/` has one lock a key, `partial/<key>` what the holder of a lock is writing.
- `uses/<digest>` and `pins/<digest>` keep an artifact from being removed, see `holds` and `pruning`.

An artifact is written below `partial/` and renamed into place, so no process ever sees a part of one. Artifacts of
older releases lie at the same places and are used as they are; their files are in no `blobs/`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import platformdirs

from voiceplane_common.artifacts.blobs import Blobs, hashed, link_or_copy, replace_text, touch
from voiceplane_common.artifacts.digests import digest, tree_digest
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError, exhausted, failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from voiceplane_common.artifacts.blobs import Blob
    from voiceplane_common.artifacts.progress import Meter

LOCK_TIMEOUT_S = 1800.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a source resolved to when it was fetched last.

    Attributes:
        source: Its URI, without secrets.
        identity: What named the content; empty if nothing did.
        digest: Of the artifact.
    """

    source: str
    identity: str
    digest: str


def default_cache_dir() -> Path:
    """VOICEPLANE_CACHE_DIR, or the user's cache folder."""
    return Path(os.environ.get("VOICEPLANE_CACHE_DIR") or platformdirs.user_cache_dir("voiceplane"))


class Cache:
    """One cache folder; processes may share it.

    Attributes:
        folder: Where it is.
        blobs: The content of its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs(folder)

    def recover(self) -> None:
        """Remove artifacts that were damaged when the machine stopped; quick where there is nothing to look at."""
        if damaged := self.blobs.damaged():
            self.drop(damaged)

    def drop(self, inodes: set[int]) -> None:
        """Remove files, and every artifact that has one of them, so that the next fetch brings them again."""
        for path in (self.folder / "blobs").iterdir():
            if path.stat().st_ino in inodes:
                path.unlink(missing_ok=True)
        for holder in (self.folder / "artifacts").iterdir():
            if any(file.stat().st_ino in inodes for file in holder.rglob("*")):
                shutil.rmtree(holder, ignore_errors=True)

    def find(self, sha256: str, *, use: bool = True) -> Path | None:
        """The artifact with a digest, which is noted as used now, unless the caller only looks."""
        holder = self.folder / "artifacts" / sha256
        if not sha256 or not holder.is_dir():
            return None
        found = next(iter(sorted(holder.iterdir())), None)
        if found is not None and use:
            touch(holder)
        return found

    def find_named(self, sha256: str, name: str, *, use: bool = True) -> Path | None:
        """The artifact with a digest under a name, which tells what kind of a file it is."""
        found = self.find(sha256, use=use)
        if found is None or found.name == name or found.is_dir():
            return found
        named = found.with_name(name)
        with contextlib.suppress(FileExistsError):
            link_or_copy(found, named)
        return named

    def find_key(self, key: str, *, use: bool = True) -> Path | None:
        """What a key gave before."""
        return self.find(self.blobs.read_index(key), use=use)

    def read_note(self, key: str) -> Note | None:
        """What a source resolved to last."""
        try:
            return Note(**json.loads((self.folder / "sources" / hashed(key)).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def sources(self) -> dict[str, str]:
        """The URI that each artifact was fetched from last, without secrets, by its digest."""
        found = {}
        for file in (self.folder / "sources").glob("*"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                note = Note(**json.loads(file.read_text(encoding="utf-8")))
                found[note.digest] = note.source
        return found

    def write_note(self, key: str, note: Note) -> None:
        """Note what a source has resolved to."""
        with contextlib.suppress(OSError):  # a cache that may only be read
            replace_text(self.folder / "sources" / hashed(key), json.dumps(asdict(note)))

    def add(
        self,
        *,
        key: str,
        remember: bool,
        name: str,
        sha256: str,
        size_bytes: int,
        write: Callable[[Path], None],
        meter: Meter | None = None,
    ) -> Path:
        """Write an artifact, check it, and put it in its place.

        Args:
            key: What identifies the source: two processes never write the same one at once.
            remember: Whether the key always gives the same content.
            name: The artifact's last path component.
            sha256: The digest that it must have; empty: any.
            size_bytes: About how much there is to write, for the message of a full disk.
            write: Writes the artifact, a file or a folder, at the path that it is given.
            meter: Says whether the fetch was cancelled while this waits for another process.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, DIGEST_MISMATCH. RESOURCE_EXHAUSTED, DISK_FULL. UNAVAILABLE,
                CACHE_BUSY or CACHE_UNUSABLE. Or what `write` raises. Nothing is left behind.
        """
        try:
            self.blobs.prepare()
            with self._locked(key, meter):
                found = self.find(sha256) or (self.find_key(key) if remember else None)
                return found or self._write(key=key, remember=remember, name=name, sha256=sha256, write=write)
        except OSError as error:
            raise self.explain(error, size_bytes) from error

    @staticmethod
    def digest_of(files: Mapping[str, Blob], *, is_folder: bool) -> str:
        """The digest of the artifact that blobs make."""
        digests = {relative: blob.sha256 for relative, blob in files.items()}
        return tree_digest(digests) if is_folder else next(iter(digests.values()))

    def link(self, files: Mapping[str, Blob], *, name: str, is_folder: bool) -> tuple[Path, str]:
        """Make an artifact of blobs.

        Returns:
            The artifact and its digest.

        Raises:
            OSError: The cache can't be written.
        """
        found = self.digest_of(files, is_folder=is_folder)
        if there := self.find_named(found, name):
            return there, found

        def write(target: Path) -> None:
            for relative, blob in files.items():
                link_or_copy(blob.path, target / relative if is_folder else target)

        with self._locked(f"artifact:{found}", None):
            key = f"artifact:{found}"
            return self._write(key=key, remember=False, name=name, sha256=found, write=write, known=found), found

    def explain(self, error: OSError, size_bytes: int) -> VoiceplaneError:
        """The error to report when the cache can't be written."""
        if Blobs.is_full(error):
            return self.full(size_bytes)
        message = f"cannot write the cache {self.folder}: {error}; set VOICEPLANE_CACHE_DIR to a writable folder"
        return unavailable("CACHE_UNUSABLE", message)

    def full(self, size_bytes: int) -> VoiceplaneError:
        """The error of a disk that has no room for so many bytes."""
        message = (
            f"the disk of {self.folder} is full: {size_bytes} bytes are needed, {self.free_bytes()} are free; "
            "free some, or set VOICEPLANE_CACHE_DIR to a larger disk"
        )
        return exhausted("DISK_FULL", message)

    def free_bytes(self) -> int:
        """What the cache's disk has left."""
        return shutil.disk_usage(_existing(self.folder)).free

    @contextlib.contextmanager
    def _locked(self, key: str, meter: Meter | None) -> Iterator[None]:
        lock = filelock.FileLock(self.folder / "locks" / hashed(key))
        left = LOCK_TIMEOUT_S
        while True:
            try:
                lock.acquire(timeout=min(_POLL_S, left))
                break
            except filelock.Timeout:
                if meter:
                    meter.check()
                left -= _POLL_S
                if left <= 0:
                    raise unavailable("CACHE_BUSY", f"another process holds {self.folder} for too long") from None
        try:
            yield
        finally:
            lock.release()

    def _write(
        self, *, key: str, remember: bool, name: str, sha256: str, write: Callable[[Path], None], known: str = ""
    ) -> Path:
        # We hold the key's lock, so whatever is there is left from a process that was killed.
        partial = self.folder / "partial" / hashed(key)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            holder = partial / "holder"
            holder.mkdir(parents=True)
            write(holder / name)
            found = known or digest(holder / name)
            check_digest(found, sha256, what=key)
            if not known:
                _flush(holder)
            target = self.folder / "artifacts" / found
            if not target.exists():
                self._place(holder, target)
            if remember:
                self.blobs.write_index(key, found)
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


def check_digest(found: str, expected: str, *, what: str) -> None:
    """Compare digests.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, DIGEST_MISMATCH; names both. An empty expectation always holds.
    """
    if expected and found != expected:
        message = f"{what} has the sha256 {found}, and {expected} is expected: correct the digest or the source"
        raise failed_precondition("DIGEST_MISMATCH", message, field="source.sha256")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _flush(holder: Path) -> None:
    for file in files_of(holder).values():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


__all__ = ["Cache", "Note", "check_digest", "default_cache_dir", "digest"]
