"""XTTS packs in the layouts that there are; and those that can't be loaded, and what is said of them."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_xtts.adapter import XttsAdapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec

from families.xtts.tests.tiny import SPEAKERS, pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("xtts") / "tiny", seed="5")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be changed."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


def speak(pack: VoicePack) -> Samples:
    model = XttsAdapter().load(pack, device="cpu", threads=1)
    speech = np.concatenate(list(model.synthesize(Piece(text="Nine green bottles.", voice=SPEAKERS[0], language="en"))))
    model.close()
    return speech


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(file, weights_only=True)
    change(checkpoint["model"])
    torch.save(checkpoint, file)


def drop_a_tensor(file: Path) -> None:
    edit_weights(file, lambda weights: weights.pop("gpt.mel_head.bias"))


class Evil:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return (Path.touch, (self._file,))


def test_weights_may_be_safetensors(whole: VoicePack, pack: VoicePack) -> None:
    weights = torch.load(pack.path / "model.pth", weights_only=True)["model"]
    save_file(weights, pack.path / "model.safetensors")
    (pack.path / "model.pth").unlink()
    np.testing.assert_array_equal(speak(pack), speak(whole))


def test_the_public_checkpoint_with_its_configuration_inside_is_read_and_not_rewritten(
    whole: VoicePack, pack: VoicePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack.path / "model.pth"
    checkpoint = torch.load(file, weights_only=True)
    for each in (XttsArgs, XttsAudioConfig):
        monkeypatch.setattr(each, "__module__", "TTS.tts.models.xtts")  # where they were
    torch.save(checkpoint | {"config": XttsConfig()}, file)
    monkeypatch.undo()
    assert b"TTS.tts.models.xtts" in file.read_bytes()
    before = file.read_bytes()
    np.testing.assert_array_equal(speak(pack), speak(whole))
    assert file.read_bytes() == before


def test_weights_of_a_training_have_other_names_and_are_read_too(whole: VoicePack, pack: VoicePack) -> None:
    def as_trained(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[f"xtts.{name}"] = weights.pop(name)
        weights["dvae.codebook"] = torch.zeros(4)

    edit_weights(pack.path / "model.pth", as_trained)
    np.testing.assert_array_equal(speak(pack), speak(whole))


def test_the_public_configuration_with_all_its_keys_is_read(pack: VoicePack) -> None:
    file = pack.path / "config.json"
    values = json.loads(file.read_text())
    assert values["max_audio_len"] == float("inf")  # no JSON, but in the public one, too
    edit(file, model_dir=None, num_gpt_outputs=1, unheard_of=1)
    assert speak(pack).size > 0


def test_a_load_leaves_torch_as_it_was(pack: VoicePack) -> None:
    functions = {name: getattr(torch.nn.init, name) for name in ("normal_", "uniform_", "zeros_")}
    speak(pack)
    assert {name: getattr(torch.nn.init, name) for name in functions} == functions


def test_a_load_and_speech_reach_no_network(pack: VoicePack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert speak(pack).size > 0


@pytest.mark.parametrize("name", ["model.pth", "speakers_xtts.pth"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(pack: VoicePack, tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    torch.save({"model": Evil(trace)}, pack.path / name)
    error = refusal(XttsAdapter(), pack)
    assert f"{name} is no checkpoint, or holds more than tensors, which is not read" in error.message
    assert not trace.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("["), "no JSON object"),
        (lambda folder: edit(folder / "config.json", model="vits"), "model is 'vits', and must be 'xtts'"),
        (lambda folder: edit(folder / "config.json", model_args=3), "config.json: model_args must be an object"),
        (lambda folder: edit(folder / "config.json", audio=None), "config.json: audio must be an object"),
        (lambda folder: edit(folder / "config.json", model_args={"gpt_layers": 3}), "can't be read"),
        (lambda folder: (folder / "vocab.json").unlink(), "vocab.json is missing"),
        (lambda folder: (folder / "vocab.json").write_text("{}"), "vocab.json can't be read"),
        (lambda folder: (folder / "model.pth").unlink(), "the weights are missing: model.safetensors or model.pth"),
        (lambda folder: (folder / "model.pth").write_bytes(b""), "model.pth can't be read"),
        (lambda folder: (folder / "model.pth").write_bytes(b"\0" * 64), "model.pth is no checkpoint"),
        (lambda folder: (folder / "model.pth").write_bytes(b"PK\3\4" + b"\0" * 64), "model.pth"),
        (lambda folder: torch.save([1], folder / "model.pth"), "can't be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 64), "model.safetensors can't be read"),
        (lambda folder: drop_a_tensor(folder / "model.pth"), "gpt.mel_head.bias"),
        (lambda folder: (folder / "speakers_xtts.pth").unlink(), "speakers_xtts.pth is missing"),
        (lambda folder: torch.save({SPEAKERS[0]: {}}, folder / "speakers_xtts.pth"), "can't be read"),
        (
            lambda folder: torch.save(
                {SPEAKERS[0]: {"gpt_cond_latent": torch.ones(1, 32, 1024), "speaker_embedding": torch.ones(1, 512, 1)}},
                folder / "speakers_xtts.pth",
            ),
            "'Anna First' of another model",
        ),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    assert message in refusal(XttsAdapter(), pack).message


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "cuda:", "tpu"])
def test_a_device_that_torch_does_not_see_is_refused(whole: VoicePack, device: str) -> None:
    with pytest.raises(VoiceplaneError, match=device) as caught:
        XttsAdapter().load(whole, device=device, threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"


def test_a_model_tells_the_bytes_of_its_weights(whole: VoicePack) -> None:
    model = XttsAdapter().load(whole, device="cpu", threads=1)
    size = (whole.path / "model.pth").stat().st_size
    assert model.memory_bytes == pytest.approx(size, rel=0.15)
    model.close()


def test_the_public_model_s_licence_must_be_accepted_before_it_is_fetched() -> None:
    known = PackCatalog().find("xtts-v2")
    assert known
    with pytest.raises(VoiceplaneError, match="forbids commercial use") as caught:
        open_pack(ModelSpec(model_id="xtts-v2"), known)
    assert caught.value.reason == "LICENCE_NOT_ACCEPTED"
