"""The loader of real packs: what it tells of a fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import STEP_BYTES, PackLoader, throttled

from tests.support.artifacts import write_package
from tests.support.voicepacks import pack_yaml

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MEBIBYTE = 1 << 20


def test_progress_is_reported_once_for_each_percent() -> None:
    told: list[tuple[int, int]] = []
    progress = throttled(lambda done, total: told.append((done, total)))
    for done in range(0, 100 * MEBIBYTE + 1, MEBIBYTE // 4):
        progress(done, 100 * MEBIBYTE)
    assert told == [(percent * MEBIBYTE, 100 * MEBIBYTE) for percent in range(101)]


def test_progress_without_a_known_end_is_throttled() -> None:
    told: list[int] = []
    progress = throttled(lambda done, _: told.append(done))
    for done in range(0, 3 * STEP_BYTES, MEBIBYTE):
        progress(done, 0)
    assert told == [0, STEP_BYTES, 2 * STEP_BYTES]


async def test_what_a_fetch_copies_is_reported_up_to_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
