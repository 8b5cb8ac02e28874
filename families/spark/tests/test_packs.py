"""Spark packs that can't be loaded, and what is said of them; none leaves anything behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import wave
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_spark.adapter import SparkAdapter
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.licences import check_licence
from voiceplane_worker.packs.metadata import PackVoice
from voiceplane_worker.packs.opening import check_files

from families.spark.tests.tiny import CODEC, RATE_HZ, pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

FEATURES = "wav2vec2-large-xlsr-53"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("spark") / "tiny")


@pytest.fixture
def pack(whole: VoicePack, tmp_path: Path) -> VoicePack:
    """A copy to be broken."""
    return replace(whole, path=shutil.copytree(whole.path, tmp_path / "pack"))


@pytest.fixture
def cloning(pack: VoicePack) -> VoicePack:
    """The copy, with a recording and its text."""
    with wave.open(str(pack.path / "seed.wav"), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(os.urandom(2 * RATE_HZ))
    changes = {
        "voices": (PackVoice(name="first", language="en"),),
        "reference": "seed.wav",
        "options": pack.metadata.options | {"reference_text": "What I said."},
    }
    return replace(pack, metadata=pack.metadata.model_copy(update=changes))


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_codec(folder: Path, part: str, **changes: Any) -> None:
    config = CODEC | {part: CODEC[part] | changes}
    (folder / "BiCodec" / "config.yaml").write_text(yaml.safe_dump({"audio_tokenizer": config}))


def drop_a_tensor(file: Path, name: str) -> None:
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})


def drop_a_setting(file: Path, name: str) -> None:
    values = yaml.safe_load(file.read_text())
    del values[name]
    file.write_text(yaml.safe_dump(values))


def forget_a_word(folder: Path, mark: str) -> None:
    file = folder / "LLM" / "tokenizer.json"
    file.write_text(file.read_text().replace(mark, "<|something_else|>"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.yaml").unlink(), r"config\.yaml is missing"),
        (lambda folder: (folder / "config.yaml").write_text("a: ["), r"config\.yaml is not YAML"),
        (lambda folder: (folder / "config.yaml").write_text("1"), r"config\.yaml must hold a mapping"),
        (lambda folder: drop_a_setting(folder / "config.yaml", "sample_rate"), r"config\.yaml lacks 'sample_rate'"),
        (
            lambda folder: (folder / "config.yaml").write_text("{sample_rate: fast, latent_hop_length: 320}"),
            r"config\.yaml can't be used",
        ),
        (lambda folder: (folder / "BiCodec/config.yaml").unlink(), r"BiCodec/config\.yaml is missing"),
        (
            lambda folder: drop_a_setting(folder / "BiCodec/config.yaml", "audio_tokenizer"),
            r"BiCodec/config\.yaml lacks 'audio_tokenizer'",
        ),
        (
            lambda folder: edit_codec(folder, "prenet", sample_ratios=[2, 2]),
            r"sample_ratios is \[2, 2\], and only 1 can be streamed",
        ),
        (lambda folder: edit_codec(folder, "decoder", channels=64), "can't be read.*size mismatch"),
        (lambda folder: edit_codec(folder, "quantizer", codebook_size=300), "can't be read.*size mismatch"),
        (lambda folder: (folder / "BiCodec/model.safetensors").unlink(), "can't be read"),
        (lambda folder: (folder / "BiCodec/model.safetensors").write_bytes(b"\0" * 64), "can't be read"),
        (
            lambda folder: drop_a_tensor(folder / "BiCodec/model.safetensors", "prenet.linear.weight"),
            r"BiCodec/model\.safetensors lacks 1 tensors .*prenet\.linear\.weight",
        ),
        (lambda folder: (folder / "LLM/config.json").unlink(), r"LLM/config\.json is missing"),
        (lambda folder: edit_json(folder / "LLM/config.json", hidden_size=48), "can't be read|lacks"),
        (lambda folder: (folder / "LLM/model.safetensors").unlink(), "can't be read"),
        (
            lambda folder: drop_a_tensor(folder / "LLM/model.safetensors", "model.norm.weight"),
            r"LLM/model\.safetensors lacks 1 tensors .*model\.norm\.weight",
        ),
        (lambda folder: (folder / "LLM/tokenizer.json").unlink(), "can't be read|does not know"),
        (lambda folder: forget_a_word(folder, "<|bicodec_semantic_7|>"), r"does not know <\|bicodec_semantic_7\|>"),
        (lambda folder: forget_a_word(folder, "<|start_style_label|>"), r"does not know <\|start_style_label\|>"),
    ],
)
def test_a_broken_pack_is_refused_with_its_problem(
    pack: VoicePack, damage: Callable[[Path], object], message: str
) -> None:
    damage(pack.path)
    error = refusal(SparkAdapter(), pack)
    assert re.search(message, error.message)
    assert "'tiny'" in error.message


def test_weights_in_a_pickle_are_not_read(pack: VoicePack) -> None:
    (pack.path / "LLM/model.safetensors").rename(pack.path / "LLM/pytorch_model.bin")
    assert "can't be read" in refusal(SparkAdapter(), pack).message
    with pytest.raises(VoiceplaneError, match="name it in allow_pickle"):
        check_files(pack.metadata, {"LLM/pytorch_model.bin": pack.path / "LLM/pytorch_model.bin"})


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


def test_a_pickle_that_is_code_is_refused_and_not_run(
    cloning: VoicePack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Evil()}, cloning.path / FEATURES / "pytorch_model.bin")
    assert "can't be read" in refusal(SparkAdapter(), cloning).message
    assert not (tmp_path / "evil").exists()


def test_only_a_recording_with_its_text_needs_wav2vec(cloning: VoicePack) -> None:
    shutil.rmtree(cloning.path / FEATURES)
    assert "can't be read" in refusal(SparkAdapter(), cloning).message
    alone = cloning.metadata.model_copy(update={"options": {}})
    SparkAdapter().load(replace(cloning, metadata=alone), device="cpu", threads=1).close()


def test_wav2vec_without_its_weights_is_refused(cloning: VoicePack) -> None:
    config = cloning.path / FEATURES / "config.json"
    edit_json(config, num_hidden_layers=18)
    assert re.search(rf"{FEATURES} lacks \d+ tensors", refusal(SparkAdapter(), cloning).message)


def test_a_language_that_the_model_does_not_speak_is_refused(whole: VoicePack) -> None:
    voices = (PackVoice(name="anna", language="en-GB"), PackVoice(name="bernd", language="de-DE"))
    pack = replace(whole, metadata=whole.metadata.model_copy(update={"voices": voices}))
    error = refusal(SparkAdapter(), pack)
    assert "'bernd' is to speak 'de-DE', and the model speaks en and zh" in error.message
    assert error.field == "voices"


def test_nothing_is_asked_of_the_network(cloning: VoicePack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    SparkAdapter().load(cloning, device="cpu", threads=1).close()


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "tpu"])
def test_a_device_that_torch_does_not_see_is_refused(whole: VoicePack, device: str) -> None:
    with pytest.raises(VoiceplaneError, match=device) as caught:
        SparkAdapter().load(whole, device=device, threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"


def test_a_model_tells_the_bytes_of_its_weights(whole: VoicePack) -> None:
    model = SparkAdapter().load(whole, device="cpu", threads=1)
    folder = whole.path
    codec = load_file(folder / "BiCodec/model.safetensors")
    spoken = ("quantizer.", "prenet.", "decoder.", "speaker_encoder.quantizer.", "speaker_encoder.project.")
    weights = sum(tensor.nbytes for name, tensor in codec.items() if name.startswith(spoken))
    weights += (folder / "LLM/model.safetensors").stat().st_size
    assert model.memory_bytes == pytest.approx(weights, rel=0.15)
    model.close()


def test_the_public_model_must_be_accepted_for_its_licence() -> None:
    known = PackCatalog().find("spark-tts-0.5b")
    assert known
    with pytest.raises(VoiceplaneError, match=r"CC-BY-NC-SA-4\.0") as caught:
        check_licence(known.metadata, accepted=())
    assert caught.value.reason == "LICENCE_NOT_ACCEPTED"
    check_licence(known.metadata, accepted=("CC-BY-NC-SA-4.0",))
