"""The loader of real packs: what it tells of a fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import PackLoader

from tests.support.artifacts import write_package
from tests.support.voicepacks import pack_yaml

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MEBIBYTE = 1 << 20


async def test_what_a_fetch_copies_is_reported_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    files = {"data/metadata.yaml": pack_yaml("voice"), "data/model.onnx.part0": bytes(3 * MEBIBYTE)}
    write_package(site, "a_voice", {**files, "data/model.onnx.part1": bytes(MEBIBYTE)})
    loader = PackLoader(device="cpu", threads=1, cache_dir=tmp_path / "cache")
    told: list[tuple[int, int]] = []
    spec = ModelSpec(model_id="voice", source=PackSource(uri="package:a_voice/data"))
    pack = await loader.fetch(spec, None, fetched=lambda done, total: told.append((done, total)))
    total = 4 * MEBIBYTE + len(pack_yaml("voice"))
    assert pack.size_bytes == total
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert told == sorted(told)
