"""XTTS on a GPU: streamed as on a CPU, several streams at once, with its memory returned."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_family_xtts.adapter import XttsAdapter
from voiceplane_worker.adapters.base import Piece

from families.xtts.tests.tiny import SPEAKERS, pack_of_tiny
from tests.support.gpu import assert_memory_returns

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Model, Samples

pytestmark = pytest.mark.gpu


def speak(model: Model, text: str = "Nine green bottles.") -> Samples:
    return np.concatenate(list(model.synthesize(Piece(text=text, voice=SPEAKERS[0], language="en"))))


def test_with_a_seed_it_always_says_the_same(tmp_path: Path) -> None:
    model = XttsAdapter().load(pack_of_tiny(tmp_path / "tiny", seed="5"), device="cuda", threads=1)
    first = speak(model)
    assert first.dtype == np.float32
    np.testing.assert_allclose(speak(model), first, atol=1e-3)
    model.close()


def test_streams_of_several_threads_are_what_each_is_alone(tmp_path: Path) -> None:
    model = XttsAdapter().load(pack_of_tiny(tmp_path / "tiny", seed="5"), device="cuda", threads=1)
    texts = ["One.", "And another one.", "A third one comes last, and it is the longest."]
    alone = {text: speak(model, text) for text in texts}
    together: dict[str, Samples] = {}
    threads = [threading.Thread(target=lambda text=text: together.update({text: speak(model, text)})) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(together[text], alone[text], atol=1e-3)
    model.close()


@pytest.mark.timeout(300)
def test_the_memory_of_the_device_returns_after_many_loads(tmp_path: Path) -> None:
    assert_memory_returns(XttsAdapter(), pack_of_tiny(tmp_path / "tiny"), speak=speak)
