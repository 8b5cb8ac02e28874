"""The loader attaches a LoRA to the base that it is given, and keeps the cache small."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_common.artifacts.cache import Cache
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters.base import LoraBase, Piece
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import PackLoader

from tests.support.artifacts import add_file
from tests.support.models import FakeModel
from tests.support.packs import mock_pack
from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

SPEC = ModelSpec(model_id="lora", base_model_id="base")
PIECE = Piece(text="Hello.", voice="tone", language="en-US")


@pytest.fixture
def loader() -> PackLoader:
    return PackLoader(device="cpu", threads=1)


async def test_an_adapter_speaks_through_its_base(loader: PackLoader) -> None:
    base = await loader.load(mock_pack(model_id="base"), ModelSpec(model_id="base"))
    lora = await loader.load(mock_pack(model_id="lora"), SPEC, base=base)
    assert isinstance(base, LoraBase)
    one, other = (np.concatenate(list(model.synthesize(PIECE))) for model in (base, lora))
    assert one.size == other.size
    assert not np.allclose(one, other)


async def test_a_family_without_adapters_says_so(loader: PackLoader) -> None:
    with pytest.raises(VoiceplaneError, match=r"'mock' .* LoRA") as caught:
        await loader.load(mock_pack(model_id="lora"), SPEC, base=FakeModel("base"))
    assert caught.value.field == "base_model_id"
    assert caught.value.reason == "LORA_UNSUPPORTED"


async def test_after_a_fetch_the_cache_is_made_small_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    unused = add_file(cache, key="unused", content=bytes([1]) * 50_000)
    with tarfile.open(tmp_path / "alba.tar", "w") as archive:
        archive.add(write_pack(tmp_path / "alba", "alba", files={"model": bytes([2]) * 50_000}), ".")
    spec = ModelSpec(model_id="alba", source=PackSource(uri=(tmp_path / "alba.tar").as_uri()))
    loader = PackLoader(device="cpu", threads=1, cache_dir=cache.folder, cache_max_bytes=60_000)

    async def loaded() -> VoicePack:
        return await loader.fetch(spec, None, fetched=lambda *_: None)

    pack = await loaded()
    assert unused.exists()  # it was used a moment ago
    for holder in (cache.folder / "artifacts").iterdir():
        os.utime(holder, (1.0, 1.0))
    pack = await loaded()
    assert not unused.exists()
    assert pack.path.exists()
