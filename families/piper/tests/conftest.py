"""Piper voices on disk, altered for one purpose each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from families.piper.tests.packs import PIPER_FILES, piper_pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="session")
def real_graph() -> onnx.ModelProto:
    pack = piper_pack()
    return onnx.load(pack.path / PIPER_FILES["model"])


@pytest.fixture
def altered_voice(tmp_path: Path, real_graph: onnx.ModelProto) -> Callable[..., VoicePack]:
    """Makes a pack of the real voice, with its graph and its configuration altered."""

    def make(
        graph: Callable[[onnx.ModelProto], None] | None = None, config: dict[str, Any] | None = None, **pack: Any
    ) -> VoicePack:
        real = piper_pack().path
        if graph is None:
            (tmp_path / PIPER_FILES["model"]).symlink_to(real / PIPER_FILES["model"])
        else:
            copy = onnx.ModelProto()
            copy.CopyFrom(real_graph)
            graph(copy)
            onnx.save(copy, tmp_path / PIPER_FILES["model"])
        values = json.loads((real / PIPER_FILES["config"]).read_text()) | (config or {})
        (tmp_path / PIPER_FILES["config"]).write_text(json.dumps(values))
        return piper_pack(tmp_path, **pack)

    return make
