"""Parler-TTS packs that can't be loaded, and what is said of them; and what is read of those that can."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from parler_tts import ParlerTTSForConditionalGeneration
from safetensors.torch import load_file, save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_parler.adapter import ParlerAdapter
from voiceplane_family_parler.codec import NotWindowedError, WindowedCodec
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.opening import check_files

from families.parler.tests.tiny import larger_tokenizer, pack_of_tiny, t5_tokenizer
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.packs.pack import VoicePack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("parler") / "tiny")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be broken."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_part(file: Path, part: str, **changes: Any) -> None:
    edit(file, **{part: json.loads(file.read_text())[part] | changes})


def drop_a_tensor(file: Path) -> None:
    tensors = load_file(file)
    del tensors["decoder.lm_heads.3.weight"]
    save_file(tensors, file, metadata={"format": "pt"})


class _Evil:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil"),))


def as_an_evil_pickle(file: Path) -> None:
    file.unlink()
    file.with_name("pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "config.json").write_text("["), "no JSON object"),
        (
            lambda folder: edit(folder / "config.json", model_type="csm"),
            "model_type is 'csm', and must be 'parler_tts'",
        ),
        (lambda folder: edit_part(folder / "config.json", "decoder", hidden_size=48), "can't be read|lack"),
        (lambda folder: edit_part(folder / "config.json", "audio_encoder", model_type="nothing"), "can't be read"),
        (lambda folder: (folder / "generation_config.json").unlink(), r"generation_config\.json is missing"),
        (
            lambda folder: edit(folder / "generation_config.json", eos_token_id=None),
            r"generation_config\.json: eos_token_id must be a number",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "can't be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 64), "can't be read"),
        (lambda folder: drop_a_tensor(folder / "model.safetensors"), r"lack 1 tensors .*lm_heads\.3\.weight"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "can't be read"),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    error = refusal(ParlerAdapter(), pack)
    assert "'tiny'" in error.message
    with pytest.raises(VoiceplaneError, match=message):
        raise error


def test_a_pickle_is_not_opened(pack: VoicePack, monkeypatch: pytest.MonkeyPatch) -> None:
    as_an_evil_pickle(pack.path / "model.safetensors")
    monkeypatch.chdir(pack.path)
    refusal(ParlerAdapter(), pack)
    assert not (pack.path / "evil").exists()
    with pytest.raises(VoiceplaneError, match="may be a pickle"):
        check_files(pack.metadata, {file.name: file for file in pack.path.iterdir()})


def test_a_tokenizer_that_is_not_the_text_encoders_is_refused(pack: VoicePack) -> None:
    larger_tokenizer().save_pretrained(pack.path)
    edit_part(pack.path / "config.json", "text_encoder", _name_or_path="google/flan-t5-large")
    error = refusal(ParlerAdapter(), pack)
    assert error.field == "description_tokenizer"
    assert "put the tokenizer of google/flan-t5-large into description_tokenizer/" in error.message


def test_the_text_encoder_may_have_a_tokenizer_of_its_own(pack: VoicePack) -> None:
    larger_tokenizer().save_pretrained(pack.path)
    t5_tokenizer().save_pretrained(pack.path / "description_tokenizer")
    model = ParlerAdapter().load(pack, device="cpu", threads=1)
    assert list(model.synthesize(Piece(text="Nine.", voice="Laura", language="en")))
    with pytest.raises(VoiceplaneError, match="knows a word of this text") as caught:
        list(model.synthesize(Piece(text="Say word19.", voice="Laura", language="en")))
    assert caught.value.field == "text"
    model.close()


def test_weights_in_several_files_are_read_as_in_one(whole: VoicePack, pack: VoicePack) -> None:
    library = ParlerTTSForConditionalGeneration.from_pretrained(whole.path)
    (pack.path / "model.safetensors").unlink()
    library.save_pretrained(pack.path, max_shard_size="300KB")
    assert len(list(pack.path.glob("model-*.safetensors"))) > 2
    models = [ParlerAdapter().load(each, device="cpu", threads=1) for each in (whole, pack)]
    one, several = (model._here().model.state_dict() for model in models)
    assert one.keys() == several.keys()
    assert all(torch.equal(one[name], several[name]) for name in one)


def test_a_codec_that_does_not_keep_the_time_can_t_be_streamed(whole: VoicePack) -> None:
    model = ParlerAdapter().load(whole, device="cpu", threads=1)
    decoder = model._here().model.audio_encoder.decoder
    assert WindowedCodec(model._here().model).frame_samples == 512
    decoder.conv1 = torch.nn.Conv1d(64, 32, kernel_size=7, padding=2)
    with pytest.raises(NotWindowedError, match="can't be streamed"):
        WindowedCodec(model._here().model)
    model.close()


def test_neither_load_nor_speech_reach_the_network(whole: VoicePack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    model = ParlerAdapter().load(whole, device="cpu", threads=1)
    assert list(model.synthesize(Piece(text="Nine.", voice="Laura", language="en")))
    model.close()


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "cuda:", "tpu"])
def test_a_device_that_torch_does_not_see_is_refused(whole: VoicePack, device: str) -> None:
    with pytest.raises(VoiceplaneError, match=device) as caught:
        ParlerAdapter().load(whole, device=device, threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"
