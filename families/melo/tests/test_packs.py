"""MeloTTS packs that can't be loaded, and what is said of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_melo.adapter import MeloAdapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice
from voiceplane_worker.packs.opening import check_files

from families.melo.tests.tiny import pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("melo") / "tiny")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be broken."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


def changed(pack: VoicePack, **changes: object) -> VoicePack:
    return replace(pack, metadata=pack.metadata.model_copy(update=changes))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def weights(folder: Path) -> Any:
    return torch.load(folder / "checkpoint.pth", weights_only=True)["model"]


def drop_a_tensor(folder: Path) -> None:
    kept = weights(folder)
    del kept["dec.conv_post.weight"]
    torch.save({"model": kept}, folder / "checkpoint.pth")


class Evil:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "config.json").write_text("["), "no JSON object"),
        (lambda folder: (folder / "config.json").write_text("{}"), r"config\.json is not a MeloTTS model's: 'data'"),
        (lambda folder: edit(folder / "config.json", symbols=["_", "a"]), "size mismatch"),
        (lambda folder: edit(folder / "config.json", model={"n_heads": 2}), r"config\.json is not a MeloTTS model's"),
        (lambda folder: edit(folder / "config.json", num_languages=2), "num_languages 2 .* too few for EN"),
        (lambda folder: (folder / "checkpoint.pth").unlink(), r"neither checkpoint\.safetensors nor checkpoint\.pth"),
        (lambda folder: (folder / "checkpoint.pth").write_bytes(b"\0" * 64), "can't be read"),
        (lambda folder: torch.save({"weights": {}}, folder / "checkpoint.pth"), "no weights under the key 'model'"),
        (drop_a_tensor, r"Missing key.*dec\.conv_post\.weight"),
        (lambda folder: (folder / "checkpoint.safetensors").write_bytes(b"\0" * 64), "can't be read"),
        (lambda folder: shutil.rmtree(folder / "bert"), r"bert/config\.json is missing: put google-bert/bert-base-un"),
        (lambda folder: edit(folder / "bert" / "config.json", hidden_size=64), "hidden_size is 64 .* trained on 768"),
        (lambda folder: edit(folder / "bert" / "config.json", num_hidden_layers=9), "bert: its weights lack"),
        (lambda folder: (folder / "bert" / "model.safetensors").unlink(), "can't be read"),
        (lambda folder: (folder / "bert" / "vocab.txt").unlink(), r"neither tokenizer\.json nor vocab\.txt"),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    with pytest.raises(VoiceplaneError, match=message):
        raise refusal(MeloAdapter(), pack)


def test_a_checkpoint_that_would_run_code_runs_none(pack: VoicePack, tmp_path: Path) -> None:
    torch.save({"model": weights(pack.path), "extra": Evil(tmp_path / "evil")}, pack.path / "checkpoint.pth")
    assert "can't be read" in refusal(MeloAdapter(), pack).message
    assert not (tmp_path / "evil").exists()


def test_a_checkpoint_is_a_pickle_that_the_pack_must_name(whole: VoicePack) -> None:
    files = {"checkpoint.pth": whole.path / "checkpoint.pth"}
    check_files(whole.metadata, files)
    with pytest.raises(VoiceplaneError, match="allow_pickle"):
        check_files(whole.metadata.model_copy(update={"allow_pickle": ()}), files)


def test_a_checkpoint_may_be_safetensors(pack: VoicePack) -> None:
    save_file(weights(pack.path), pack.path / "checkpoint.safetensors")
    (pack.path / "checkpoint.pth").unlink()
    model = MeloAdapter().load(pack, device="cpu", threads=1)
    assert sum(chunk.size for chunk in model.synthesize(Piece(text="Hello.", voice="EN-US", language="en-US")))
    model.close()


@pytest.mark.parametrize(
    ("languages", "message"),
    [(("de",), "does not speak 'de', but en, es, fr, zh, ja, ko"), (("en", "fr"), "one language, .* have en, fr")],
)
def test_a_language_that_is_not_spoken_is_refused(whole: VoicePack, languages: tuple[str, ...], message: str) -> None:
    voices = tuple(PackVoice(name=f"EN-{language}", language=language) for language in languages)
    problem = refusal(MeloAdapter(), changed(whole, voices=voices))
    assert problem.field == "voices"
    with pytest.raises(VoiceplaneError, match=message):
        raise problem


@pytest.mark.parametrize(("name", "value"), [("tone", "low"), ("sdp_ratio", "2"), ("seed", "-1"), ("bert", "perhaps")])
def test_an_option_that_can_t_be_is_named(whole: VoicePack, name: str, value: str) -> None:
    problem = refusal(MeloAdapter(), changed(whole, options={name: value}))
    assert problem.field == f"options.{name}"
    assert "known are bert, sdp_ratio" in problem.message


def test_a_model_tells_the_bytes_of_what_it_keeps(whole: VoicePack) -> None:
    model = MeloAdapter().load(whole, device="cpu", threads=1)
    files = [whole.path / "checkpoint.pth", whole.path / "bert" / "model.safetensors"]
    on_disk = files[0].stat().st_size + 2 * files[1].stat().st_size  # which is in half precision
    assert 0.3 * on_disk < model.memory_bytes < on_disk
    model.close()
