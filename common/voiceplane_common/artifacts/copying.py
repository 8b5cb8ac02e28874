"""Streams files into a folder, and counts what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from voiceplane_common.artifacts.trees import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20


def copy_file(parts: Iterable[BinaryIO], target: Path, *, copied: Callable[[int], None]) -> None:
    """Write one file from its parts, one after another; closes them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for part in parts:
            with part:
                while block := part.read(BLOCK_BYTES):
                    out.write(block)
                    copied(len(block))


def copy_all(files: Iterator[tuple[str, Iterator[BinaryIO]]], target: Path, *, copied: Callable[[int], None]) -> None:
    """Write a folder: each file's relative name with its parts."""
    target.mkdir()
    for name, parts in files:
        copy_file(parts, target / safe_name(name), copied=copied)
