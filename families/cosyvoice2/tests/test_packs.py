"""CosyVoice 2 packs that can't be loaded, and what is said of them; none leaves anything behind."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.opening import check_files

from families.cosyvoice2.tests.tiny import pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("cosyvoice2") / "tiny", seed="3")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be broken."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


class Evil:
    """What runs when it is unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (open, (str(self.mark), "w"))


def drop(file: Path, name: str) -> None:
    weights = torch.load(file, weights_only=True)
    del weights[name]
    torch.save(weights, file)


def add_words(vocabulary: Path) -> None:
    words = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps(words | {f"word{number}": len(words) + number for number in range(144)}))


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "cosyvoice2.yaml").unlink(), r"cosyvoice2\.yaml can't be read"),
        (lambda folder: (folder / "cosyvoice2.yaml").write_text("a: 1"), r"cosyvoice2\.yaml has no entry 'llm'"),
        (lambda folder: shutil.rmtree(folder / "CosyVoice-BlankEN"), r"BlankEN/config\.json is missing"),
        (lambda folder: (folder / "CosyVoice-BlankEN" / "vocab.json").unlink(), "can't be read"),
        (
            lambda folder: add_words(folder / "CosyVoice-BlankEN" / "vocab.json"),
            "a tokenizer of 420 tokens, and llm knows 320",
        ),
        (lambda folder: (folder / "llm.pt").unlink(), r"llm\.pt is missing"),
        (lambda folder: (folder / "hift.pt").write_bytes(b"\0" * 64), "is more than tensors|can't be read"),
        (lambda folder: torch.save([1], folder / "flow.pt"), r"flow\.pt must hold tensors by name"),
        (lambda folder: drop(folder / "llm.pt", "llm_decoder.bias"), r"llm\.pt lacks 1 tensors.*llm_decoder\.bias"),
        (lambda folder: torch.save([1], folder / "spk2info.pt"), r"spk2info\.pt must hold speakers"),
        (
            lambda folder: replace_in(folder / "cosyvoice2.yaml", "input_frame_rate", "frame_rate"),
            r"does not fit cosyvoice\.flow\.flow\.CausalMaskedDiffWithXvec.*'frame_rate'",
        ),
        (
            lambda folder: replace_in(folder / "cosyvoice2.yaml", "speech_token_size: 64", "speech_token_size: 65"),
            "can't be read.*size mismatch",
        ),
        (
            lambda folder: replace_in(folder / "cosyvoice2.yaml", "hift: !new:", "hift: !ref <flow>\nother: !new:"),
            "makes hift a CausalMaskedDiffWithXvec",
        ),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    error = refusal(CosyVoice2Adapter(), pack)
    assert re.search(message, error.message)
    assert "'tiny'" in error.message


@pytest.mark.parametrize("name", ["llm.pt", "hift.pt", "spk2info.pt"])
@pytest.mark.parametrize("write", [torch.save, lambda evil, file: file.write_bytes(pickle.dumps(evil, protocol=2))])
def test_a_pickle_that_would_run_something_is_refused_unrun(
    pack: VoicePack, name: str, write: Callable[[Any, Path], object], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    write({"first": Evil(mark)}, pack.path / name)
    error = refusal(CosyVoice2Adapter(), pack)
    assert "is more than tensors, and is not run" in error.message
    assert error.field == "allow_pickle"
    assert not mark.exists()


def test_pickles_must_be_allowed_before_they_are_read_at_all(whole: VoicePack) -> None:
    check_files(whole.metadata, files_of(whole.path))
    with pytest.raises(VoiceplaneError, match="may be a pickle"):
        check_files(whole.metadata.model_copy(update={"allow_pickle": ("llm.pt",)}), files_of(whole.path))


def test_weights_may_be_safetensors_and_no_pickle_is_needed_then(whole: VoicePack, pack: VoicePack) -> None:
    for name in ("llm", "flow", "hift"):
        weights = torch.load(pack.path / f"{name}.pt", weights_only=True)
        weights.pop("llm.model.lm_head.weight", None)  # safetensors has no tensors that share their storage
        save_file({key: value.contiguous() for key, value in weights.items()}, pack.path / f"{name}.safetensors")
        (pack.path / f"{name}.pt").unlink()
    piece = Piece(text="Yes.", voice="first", language="en")
    sounds = []
    for each in (whole, pack):
        model = CosyVoice2Adapter().load(each, device="cpu", threads=1)
        sounds.append([chunk.tolist() for chunk in model.synthesize(piece)])
        model.close()
    assert sounds[0] == sounds[1]


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "tpu"])
def test_a_device_that_torch_does_not_see_is_refused(whole: VoicePack, device: str) -> None:
    with pytest.raises(VoiceplaneError, match=device) as caught:
        CosyVoice2Adapter().load(whole, device=device, threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"


def test_a_model_tells_the_bytes_of_its_weights_and_of_its_noise(whole: VoicePack) -> None:
    model = CosyVoice2Adapter().load(whole, device="cpu", threads=1)
    files = {name: (whole.path / f"{name}.pt").stat().st_size for name in ("llm", "flow", "hift")}
    noise = 80 * 15_000 * 4
    assert model.memory_bytes == pytest.approx(files["llm"] + 2 * files["flow"] + files["hift"] + noise, rel=0.05)
    model.close()
