"""The bench of fetches runs, and a fetch needs little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fetching import measure

if TYPE_CHECKING:
    from pathlib import Path


def test_both_fetch_the_whole_file_and_ours_needs_little_memory(tmp_path: Path) -> None:
    figures = measure(50, rounds=1, folder=tmp_path)
    assert (figures["size_mb"], figures["rounds"]) == (50, 1)
    assert figures["ratio"] > 0
    assert 0 < figures["added_mb"] < 200
