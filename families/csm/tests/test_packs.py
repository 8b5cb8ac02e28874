"""CSM packs that can't be loaded, and what is said of them; none leaves anything behind."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file, save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_csm.adapter import CsmAdapter

from families.csm.tests.tiny import pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("csm") / "tiny")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be broken."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def drop_a_tensor(file: Path) -> None:
    tensors = load_file(file)
    del tensors["lm_head.weight"]
    save_file(tensors, file, metadata={"format": "pt"})


def as_a_pickle(file: Path) -> None:
    file.rename(file.with_name("pytorch_model.bin"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "config.json").write_text("["), "no JSON object"),
        (lambda folder: edit(folder / "config.json", model_type="llama"), "model_type is 'llama', and must be 'csm'"),
        (lambda folder: edit(folder / "config.json", hidden_size=48), "can't be read|lack"),
        (lambda folder: (folder / "model.safetensors").unlink(), "can't be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 64), "can't be read"),
        (lambda folder: drop_a_tensor(folder / "model.safetensors"), r"lack 1 tensors .*lm_head\.weight"),
        (lambda folder: as_a_pickle(folder / "model.safetensors"), "can't be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "can't be read"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), r"chat_template\.jinja is missing"),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    with pytest.raises(VoiceplaneError, match=message) as caught:
        CsmAdapter().load(pack, device="cpu", threads=1)
    assert caught.value.reason == "PACK_INVALID"
    assert "'tiny'" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_codec_that_can_t_be_streamed_is_refused(pack: VoicePack) -> None:
    codec = json.loads((pack.path / "config.json").read_text())["codec_config"]
    edit(pack.path / "config.json", codec_config=codec | {"pad_mode": "replicate"})
    with pytest.raises(VoiceplaneError, match="pad_mode is 'replicate'") as caught:
        CsmAdapter().load(pack, device="cpu", threads=1)
    assert caught.value.reason == "PACK_INVALID"


def test_unsloth_is_used_if_the_pack_asks_for_it_and_named_if_it_is_not_there(
    whole: VoicePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = whole.metadata.model_copy(update={"options": whole.metadata.options | {"unsloth": "true"}})
    pack = replace(whole, metadata=metadata)
    with pytest.raises(VoiceplaneError, match="Unsloth can't be used here") as caught:
        CsmAdapter().load(pack, device="cpu", threads=1)
    assert caught.value.field == "options.unsloth"
    patched: list[Any] = []
    module = SimpleNamespace(FastModel=SimpleNamespace(for_inference=patched.append))
    monkeypatch.setitem(sys.modules, "unsloth", module)
    model = CsmAdapter().load(pack, device="cpu", threads=1)
    assert patched == [model._resident.model]


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "cuda:", "tpu"])
def test_a_device_that_torch_does_not_see_is_refused(whole: VoicePack, device: str) -> None:
    with pytest.raises(VoiceplaneError, match=device) as caught:
        CsmAdapter().load(whole, device=device, threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"


def test_a_model_tells_the_bytes_of_its_weights(whole: VoicePack) -> None:
    model = CsmAdapter().load(whole, device="cpu", threads=1)
    size = (whole.path / "model.safetensors").stat().st_size
    assert model.memory_bytes == pytest.approx(size, rel=0.15)
    model.close()
