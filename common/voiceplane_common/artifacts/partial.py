"""A file that is being fetched: its pieces, and what of them is on the disk already.

Two files stand for it in `partial/`: `<key>` has the bytes at their places, `<key>.map` which of them are there. Both
outlive a cut, a cancelled fetch and a killed process, so that the next fetch goes on where this one ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable

SAVE_PERIOD_S = 0.5
_READ_BYTES = 1 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What tells this boot of the machine from another; empty where that is not known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(slots=True, eq=False)
class Piece:
    """A range of a file.

    Attributes:
        start: Its first byte.
        end: The byte after its last one; None: to the end of a file of unknown size.
        done: How many of its bytes are here, from the start.
    """

    start: int
    end: int | None
    done: int = 0

    @property
    def position(self) -> int:
        """Where its next byte goes."""
        return self.start + self.done

    @property
    def missing(self) -> int | None:
        """How many bytes are still to come; None if that is not known."""
        return None if self.end is None else self.end - self.position


class Partial:
    """One file on its way; its methods may be called from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        size_bytes: int | None,
        piece_bytes: int,
        hashes: Callable[[], list[hashlib._Hash]],
        resume: bool = True,
    ) -> None:
        """Open it, or go on with what is there.

        Args:
            path: Of the data; its map lies beside it.
            size_bytes: Of the whole file; None if that is not known: nothing can be kept then.
            piece_bytes: The size of a piece.
            hashes: Makes the hashes to be computed over the whole file.
            resume: Whether what is there is of the same file.

        Raises:
            OSError: The disk is full, or the folder can't be written.
        """
        self.path = path
        self.size_bytes = size_bytes
        self._map = path.with_name(path.name + ".map")
        self._new_hashes = hashes
        self._hashes = hashes()
        self._hashed = 0
        self._hashing = threading.Lock()
        self._saved_at = 0.0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        kept = self._read_map() if resume else None
        if kept is None:
            os.ftruncate(self._file, 0)
            kept = []
        self.pieces = self._cut(piece_bytes, kept)
        self.resumed_bytes = sum(piece.done for piece in self.pieces)

    @property
    def done_bytes(self) -> int:
        """How much of it is here."""
        return sum(piece.done for piece in self.pieces)

    def write(self, piece: Piece, block: bytes) -> None:
        """Add a piece's next bytes."""
        view, position = memoryview(block), piece.position
        while view:
            written = os.pwrite(self._file, view, position)
            view, position = view[written:], position + written
        piece.done += len(block)
        if time.monotonic() - self._saved_at > SAVE_PERIOD_S:
            self.save()

    def restart(self, piece: Piece) -> None:
        """Forget what is here, and make a piece the whole file: the server can only send it from its start."""
        with self._hashing:
            os.ftruncate(self._file, 0)
            piece.start, piece.end, piece.done = 0, self.size_bytes, 0
            self.pieces = [piece]
            self._hashes, self._hashed = self._new_hashes(), 0
            self._map.unlink(missing_ok=True)

    def advance(self) -> None:
        """Hash what has come without a gap, unless another thread is at it."""
        if not self._hashing.acquire(blocking=False):
            return
        try:
            self._hash_up_to(self._front())
        finally:
            self._hashing.release()

    def digests(self) -> list[str]:
        """The hashes of the whole, in hex."""
        with self._hashing:
            self._hash_up_to(os.fstat(self._file).st_size)
            return [each.hexdigest() for each in self._hashes]

    def save(self) -> None:
        """Note what is here."""
        self._saved_at = time.monotonic()
        if self.size_bytes is None:
            return
        note = {
            "size": self.size_bytes,
            "boot": boot_id(),
            "done": [[piece.start, piece.done] for piece in self.pieces if piece.done],
        }
        fresh = self._map.with_name(f"{self._map.name}.{threading.get_ident()}")
        fresh.write_text(json.dumps(note), encoding="ascii")
        fresh.replace(self._map)

    def close(self, *, keep: bool) -> None:
        """Close it, and keep what is here for the next fetch, or not."""
        if self._file < 0:
            return
        if keep and self.done_bytes and self.size_bytes is not None:
            with contextlib.suppress(OSError):
                self.save()
        else:
            self.path.unlink(missing_ok=True)
            self._map.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def place(self, target: Path) -> None:
        """Move the whole file to its place, and close it."""
        os.fchmod(self._file, 0o444)
        self.path.replace(target)
        self._map.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _front(self) -> int:
        """The first byte that is missing."""
        front = 0
        for piece in self.pieces:
            if piece.start > front:
                break
            front = piece.position
            if piece.missing != 0:
                break
        return front

    def _hash_up_to(self, end: int) -> None:
        buffer = memoryview(bytearray(_READ_BYTES))
        while self._hashed < end:
            count = os.preadv(self._file, [buffer[: end - self._hashed]], self._hashed)
            if not count:
                return
            for each in self._hashes:
                each.update(buffer[:count])
            self._hashed += count

    def _read_map(self) -> list[tuple[int, int]] | None:
        """Start and length of each range that is here; None if nothing can be used.

        After the machine has restarted, the disk need not have what the map says.
        """
        try:
            note = json.loads(self._map.read_text(encoding="ascii"))
            size, boot, done = note["size"], note["boot"], [(int(start), int(count)) for start, count in note["done"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return done if size == self.size_bytes and boot == boot_id() else None

    def _cut(self, piece_bytes: int, kept: list[tuple[int, int]]) -> list[Piece]:
        """The file in pieces, of which those ranges are here."""
        if self.size_bytes is None:
            return [Piece(0, None)]
        pieces: list[Piece] = []
        position = 0
        for start, count in sorted(kept):
            pieces += [Piece(each, min(each + piece_bytes, start)) for each in range(position, start, piece_bytes)]
            pieces.append(Piece(start, start + count, count))
            position = start + count
        pieces += [
            Piece(each, min(each + piece_bytes, self.size_bytes))
            for each in range(position, self.size_bytes, piece_bytes)
        ]
        return pieces
