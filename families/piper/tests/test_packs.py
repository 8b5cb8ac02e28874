"""A Piper pack that can't be loaded says which file is at fault, and what to do."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import helper
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_piper.adapter import PiperAdapter
from voiceplane_worker.packs.metadata import PackVoice

from families.piper.tests.packs import PIPER_FILES, piper_pack
from tests.support.packs import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

IDENTITY = helper.make_model(
    helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    ),
    opset_imports=[helper.make_opsetid("", 15)],
    ir_version=8,
).SerializeToString()


def load_error(pack: VoicePack) -> VoiceplaneError:
    return refusal(PiperAdapter(), pack)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PIPER_FILES.values():
        shutil.copy(piper_pack().path / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("role", ["model", "config"])
def test_a_missing_file_is_named(folder: Path, role: str) -> None:
    (folder / PIPER_FILES[role]).unlink()
    message = load_error(piper_pack(folder)).message
    assert f"{PIPER_FILES[role]} is missing" in message
    assert "fetch the voice pack again" in message


@pytest.mark.parametrize("role", ["model", "config"])
def test_a_role_that_the_pack_does_not_name_is_a_field(role: str) -> None:
    files = {name: file for name, file in PIPER_FILES.items() if name != role}
    assert load_error(piper_pack(files=files)).field == f"files.{role}"


@pytest.mark.parametrize(
    "content", [b"", b"not a model", IDENTITY, IDENTITY[:-5]], ids=["empty", "text", "another model", "cut short"]
)
def test_a_broken_onnx_is_named(folder: Path, content: bytes) -> None:
    (folder / PIPER_FILES["model"]).write_bytes(content)
    assert PIPER_FILES["model"] in load_error(piper_pack(folder)).message


def test_a_voice_that_was_cut_short_is_named(folder: Path) -> None:
    model = folder / PIPER_FILES["model"]
    model.write_bytes(model.read_bytes()[:40_000_000])
    assert PIPER_FILES["model"] in load_error(piper_pack(folder)).message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not a Piper voice's configuration"),
        (b"[]", "is not a Piper voice's configuration"),
        (b"\xff\xfe\x00", "is not a Piper voice's configuration"),
        (b'{"num_symbols": 1}', "lacks the key 'num_speakers'"),
    ],
)
def test_a_broken_configuration_is_named(folder: Path, content: bytes, problem: str) -> None:
    (folder / PIPER_FILES["config"]).write_bytes(content)
    message = load_error(piper_pack(folder)).message
    assert PIPER_FILES["config"] in message
    assert problem in message


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"phoneme_type": "smoke signals"}, "smoke signals"),
        ({"audio": {"sample_rate": "fast"}}, "audio.sample_rate"),
        ({"phoneme_id_map": {}}, "phoneme_id_map"),
        ({"espeak": {"voice": "klingon-2"}}, "klingon-2"),
    ],
)
def test_a_configuration_that_can_not_work_fails_the_load_and_not_the_first_listener(
    altered_voice: Callable[..., VoicePack], config: dict[str, Any], problem: str
) -> None:
    message = load_error(altered_voice(config=config)).message
    assert PIPER_FILES["config"] in message
    assert problem in message


def test_a_voice_that_is_no_speaker_of_the_model_is_named(altered_voice: Callable[..., VoicePack]) -> None:
    pack = altered_voice(
        config={"num_speakers": 2, "speaker_id_map": {"ann": 0, "bob": 1}},
        voices=(PackVoice(name="carl", language="en-US"),),
    )
    message = load_error(pack).message
    assert "'carl'" in message
    assert "ann, bob" in message


def test_cuda_without_cuda_is_a_clear_error() -> None:
    with pytest.raises(VoiceplaneError, match="onnxruntime-gpu") as caught:
        PiperAdapter().load(piper_pack(), device="cuda:0", threads=1)
    assert caught.value.field == "worker.device"
