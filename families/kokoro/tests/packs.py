"""Voice packs for tests: the real Kokoro model of this environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common.artifacts import fetch
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

KOKORO_MODEL_ID = "kokoro-82m-int8"


def kokoro_pack(path: Path | None = None, **changes: object) -> VoicePack:
    """The Kokoro model of this environment, or one in another folder; `changes` are those of its metadata."""
    known = PackCatalog().find(KOKORO_MODEL_ID)
    assert known
    assert known.metadata.source
    folder = fetch(known.metadata.source.uri, sha256=known.metadata.source.sha256) if path is None else path
    return VoicePack(path=folder, metadata=known.metadata.model_copy(update=changes), sha256="0" * 64)


def contract_pack(_folder: Path) -> VoicePack:
    """The pack of the contract suite; it comes as packages and needs no folder."""
    return kokoro_pack()
