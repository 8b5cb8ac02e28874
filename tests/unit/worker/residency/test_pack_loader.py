"""The loader attaches a LoRA to the base that it is given."""

from __future__ import annotations

import numpy as np
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters.base import LoraBase, Piece
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import PackLoader

from tests.support.models import FakeModel
from tests.support.packs import mock_pack

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
