"""Streams files into a folder, and reports the progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from voiceplane_common.artifacts.trees import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20


class Progress:
    """How many bytes are done."""

    def __init__(self, report: Callable[[int, int], None] | None) -> None:
        self._report = report
        self._done = self._total = 0

    def begin(self, total_bytes: int) -> None:
        """Set the number of bytes to come; 0 if unknown."""
        self._total = total_bytes
        self.add(0)

    def add(self, count: int) -> None:
        """Add a number of bytes that are done."""
        self._done += count
        if self._report:
            self._report(self._done, self._total)


def copy_file(parts: Iterable[BinaryIO], target: Path, *, progress: Progress) -> None:
    """Write one file from its parts, one after another; closes them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for part in parts:
            with part:
                while block := part.read(BLOCK_BYTES):
                    out.write(block)
                    progress.add(len(block))


def copy_all(files: Iterator[tuple[str, Iterator[BinaryIO]]], target: Path, *, progress: Progress) -> None:
    """Write a folder: each file's relative name with its parts."""
    target.mkdir()
    for name, parts in files:
        copy_file(parts, target / safe_name(name), progress=progress)
