"""Voice packs for tests: the mock family's, and one of each family that this environment has.

This module is imported in the environment of any family, and what a family needs only by its own pack.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from voiceplane_common.artifacts.patterns import Selection
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.metadata import METADATA_FILE, PackMetadata, PackSource, PackVoice, read_metadata
from voiceplane_worker.packs.pack import VoicePack
from voiceplane_worker.packs.selection import select

from families.manifests import Manifest, read_manifests

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Adapter

MANIFESTS = read_manifests()
MOCK = Manifest(name="mock", folder=Path(), licences="Apache-2.0", pack="", seed="not needed", loads=50)

# A family of another package, see docs/how-to/add-a-family.md: only that one is judged then.
OTHERS_PACK: VoicePack | None = None


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


if variable := os.environ.get("VOICEPLANE_CONTRACT_PACK"):
    OTHERS_PACK = folder_pack(Path(variable))


def contract_pack(family: str) -> VoicePack:
    """The pack on which the contract suite judges a family, in a folder that lasts as long as the process.

    That of a large family is a tiny model with random weights, which can be made in the family's environment only.
    """
    if OTHERS_PACK and family == OTHERS_PACK.metadata.family:
        return OTHERS_PACK
    if family == MOCK.name:
        return mock_pack()
    manifest = MANIFESTS[family]
    if ":" not in manifest.pack:
        return folder_pack(manifest.folder / manifest.pack)
    folder = Path(tempfile.mkdtemp(prefix=f"{family}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    module, _, function = manifest.pack.partition(":")
    pack = cast("VoicePack", getattr(importlib.import_module(module), function)(folder / "pack"))
    if pack.path.is_relative_to(folder):
        _remove_unopened(pack)
    return pack


def _remove_unopened(pack: VoicePack) -> None:
    """Leave what a worker would fetch of a remote source: a family has to say all that it opens."""
    source = select(PackSource(uri="hf://any/any"), opens=plugins.opens(pack.metadata.family), metadata=pack.metadata)
    selection = Selection(include=source.include)
    for path in pack.path.rglob("*"):
        if path.is_file() and not selection.takes(path.relative_to(pack.path).as_posix()):
            path.unlink()


def manifest_of(family: str) -> Manifest:
    """What the contract suite must know of a family."""
    if OTHERS_PACK and family == OTHERS_PACK.metadata.family:
        return Manifest(name=family, folder=Path(), licences="", pack="", seed="not needed")
    return MOCK if family == MOCK.name else MANIFESTS[family]


def families_here() -> list[str]:
    """The families to be judged in this environment: those that are installed in it, with their libraries.

    The mock family is judged where no other family has the environment for itself.
    """
    if OTHERS_PACK:
        return [OTHERS_PACK.metadata.family]
    installed = {traits.name for traits in plugins.traits()}
    here = [family for family in MANIFESTS if family in installed]
    return here if any(MANIFESTS[family].has_own_environment for family in here) else [MOCK.name, *here]


def refusal(adapter: Adapter, pack: VoicePack) -> VoiceplaneError:
    """The error, in one line, with which an adapter refuses a pack that is broken."""
    with pytest.raises(VoiceplaneError) as caught:
        adapter.load(pack, device="cpu", threads=1)
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.reason == "PACK_INVALID"
    assert "\n" not in caught.value.message
    return caught.value
