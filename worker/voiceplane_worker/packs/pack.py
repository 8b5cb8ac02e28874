"""A voice pack on this machine's disk: fetched, checked and ready to be loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_common.artifacts.holds import Hold

    from voiceplane_worker.packs.metadata import PackMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicePack:
    """A voice pack.

    Attributes:
        path: The folder that holds the model's files (read-only: the cache is shared).
        metadata: What metadata.yaml says.
        sha256: Digest of the pack's content; 64 hex digits.
        reference: The recording that metadata.yaml names; it may lie beside that. None for none.
        size_bytes: Bytes of its files: the estimate of a model's memory before it is loaded.
        holds: Keep the files in the cache as long as this pack is in use; empty if they are not there.
    """

    path: Path
    metadata: PackMetadata
    sha256: str
    reference: Path | None = None
    size_bytes: int = 0
    holds: tuple[Hold, ...] = field(default=(), compare=False, repr=False)
