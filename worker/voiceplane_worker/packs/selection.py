"""Which files of a source are fetched: what the source says, else what the family opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_worker.packs.metadata import METADATA_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceplane_worker.packs.metadata import PackMetadata, PackSource


def select(source: PackSource, *, opens: Sequence[str], metadata: PackMetadata | None = None) -> PackSource:
    """A source with the include patterns of its family, unless it says itself which files it means.

    `include` and `index` say so, and `sha256` does, which is a digest of all files that are selected. What
    `metadata.yaml` names comes in any case.

    Args:
        source: Where the files are.
        opens: The patterns of its family; empty: all files come.
        metadata: What is known of the pack already.
    """
    if source.include or source.index or source.sha256 or not opens:
        return source
    named = (*metadata.files.values(), metadata.reference or "") if metadata else ()
    patterns = dict.fromkeys((METADATA_FILE, *opens, *(escaped(name) for name in named if name)))
    return source.model_copy(update={"include": tuple(patterns)})


def escaped(name: str) -> str:
    """A pattern that matches a name alone."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
