"""Spark on a GPU: the language model in bfloat16, streamed as on a CPU, with its memory returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_spark.adapter import SparkAdapter
from voiceplane_family_spark.codec import CodecStream
from voiceplane_worker.adapters.base import Piece

from families.spark.tests.tiny import TOKEN_SAMPLES, pack_of_tiny
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Model, Samples

pytestmark = pytest.mark.gpu


def speak(model: Model) -> Samples:
    piece = Piece(text="Nine green bottles.", voice="first", language="en")
    return np.concatenate(list(model.synthesize(piece)))


def test_it_speaks_and_with_a_seed_always_the_same(tmp_path: Path) -> None:
    model = SparkAdapter().load(pack_of_tiny(tmp_path / "tiny", seed="5"), device="cuda", threads=1)
    assert model._words.head.dtype == (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32)
    assert model._words.head.device.type == "cuda"
    first = speak(model)
    assert first.dtype == np.float32
    assert first.size % TOKEN_SAMPLES == 0
    np.testing.assert_array_equal(speak(model), first)
    model.close()


def test_windows_give_what_the_whole_gives(tmp_path: Path) -> None:
    model = SparkAdapter().load(pack_of_tiny(tmp_path / "tiny"), device="cuda", threads=1)
    assert model._parts
    codec, speaker, spoken = model._parts.codec, model._spoken["first"].speaker, [*range(200)]
    stream = CodecStream(codec, speaker, look_ahead_tokens=codec.reach + 1)
    with torch.inference_mode():
        streamed = np.concatenate([*(stream.push(token) for token in spoken), stream.finish()])
        np.testing.assert_allclose(streamed, codec.decode(spoken, speaker), atol=1e-3)  # TF32, and other kernels
    model.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(SparkAdapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
