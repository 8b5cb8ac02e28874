"""What the library would do to the whole process, and does not do here."""

from __future__ import annotations

import logging
import random
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_family_cosyvoice2 import library
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_worker.adapters.base import Piece

from families.cosyvoice2.tests.tiny import pack_of_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("cosyvoice2") / "tiny")


def test_loading_leaves_the_random_numbers_of_the_process_as_they_are(pack: VoicePack) -> None:
    before = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state()
    CosyVoice2Adapter().load(pack, device="cpu", threads=1).close()
    assert random.getstate() == before[0]
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_flows_noise_is_the_librarys(pack: VoicePack) -> None:
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    assert model._parts is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        librarys = torch.randn([1, 80, 50 * 300])
    assert torch.equal(model._parts.flow.decoder.rand_noise, librarys)
    model.close()


def test_nothing_is_printed_and_nothing_fetched(
    pack: VoicePack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    assert list(model.synthesize(Piece(text="Yes.", voice="first", language="en")))
    model.close()
    assert capsys.readouterr().out == ""


def test_the_root_logger_is_left_alone_and_training_tools_are_not_imported(tmp_path: Path) -> None:
    # In a process of its own: here pytest has handlers, and all is imported.
    code = (
        "import logging, sys\n"
        "import voiceplane_family_cosyvoice2.adapter\n"
        "root = logging.getLogger()\n"
        "assert not root.handlers and root.level == logging.WARNING, (root.handlers, root.level)\n"
        "tools = {'lightning', 'hydra', 'gdown', 'modelscope', 'matplotlib', 'deepspeed', 'hyperpyyaml', 'pyworld'}\n"
        "assert not tools & set(sys.modules), tools & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_language_model_computes_no_words(pack: VoicePack) -> None:
    model = CosyVoice2Adapter().load(pack, device="cpu", threads=1)
    assert model._parts is not None
    backbone = model._parts.llm.llm
    assert isinstance(backbone, library.Qwen2Encoder)
    assert isinstance(backbone.model.lm_head, torch.nn.Identity)
    assert logging.getLogger("cosyvoice").handlers == []
    model.close()
