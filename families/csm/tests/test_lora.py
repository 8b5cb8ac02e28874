"""LoRA adapters on a resident CSM: the base stays where it is, goes on speaking, and takes turns with its adapters."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file, save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_csm.adapter import CsmAdapter
from voiceplane_worker.adapters.base import LoraBase, Piece

from families.csm.tests.tiny import lora_pack, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voiceplane_family_csm.model import CsmModel
    from voiceplane_worker.adapters.base import Model, Samples
    from voiceplane_worker.packs.pack import VoicePack

SEED = "7"
CYCLES, SETTLING_CYCLES = 20, 5


@pytest.fixture(scope="module")
def base_pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("csm") / "tiny", seed=SEED)


@pytest.fixture(scope="module")
def packs(base_pack: VoicePack, tmp_path_factory: pytest.TempPathFactory) -> list[VoicePack]:
    """Two adapters."""
    folder = tmp_path_factory.mktemp("loras")
    return [
        lora_pack(folder / str(number), base_pack, model_id=f"lora.{number}", weights=number, seed=SEED)
        for number in (1, 2)
    ]


@pytest.fixture
def base(base_pack: VoicePack) -> Iterator[CsmModel]:
    model = CsmAdapter().load(base_pack, device="cpu", threads=1)
    yield model
    model.close()


def stream(model: Model) -> Iterator[Samples]:
    return model.synthesize(Piece(text="Nine green bottles.", voice="first", language="en"))


def speak(model: Model) -> Samples:
    return np.concatenate(list(stream(model)))


def weights(model: CsmModel) -> dict[str, int]:
    """Where each of the base's tensors is; peft names those that it wraps otherwise."""
    named = model._resident.model.named_parameters()
    return {name.replace(".base_layer", ""): tensor.data_ptr() for name, tensor in named if ".lora_" not in name}


def tensors(model: CsmModel) -> int:
    return sum(1 for _ in model._resident.model.parameters())


def test_a_base_takes_adapters(base: CsmModel) -> None:
    assert isinstance(base, LoraBase)
    assert CsmAdapter.traits.lora


def test_an_adapter_sounds_otherwise_and_its_base_as_before(base: CsmModel, packs: list[VoicePack]) -> None:
    before = speak(base)
    first, second = (base.attach(pack) for pack in packs)
    sounds = [speak(first), speak(second)]
    assert not np.array_equal(sounds[0], before)
    assert not np.array_equal(sounds[0], sounds[1])
    np.testing.assert_array_equal(speak(base), before)
    np.testing.assert_array_equal(speak(first), sounds[0])
    assert not isinstance(first, LoraBase)


def test_the_base_is_not_loaded_again(base: CsmModel, packs: list[VoicePack], monkeypatch: pytest.MonkeyPatch) -> None:
    where, count = weights(base), tensors(base)
    monkeypatch.setattr("transformers.CsmForConditionalGeneration.from_pretrained", None)
    adapters = [base.attach(pack) for pack in packs]
    assert weights(base) == where
    assert tensors(base) > count
    for adapter in adapters:
        adapter.close()
    assert weights(base) == where
    assert tensors(base) == count


def test_a_stream_of_the_base_does_not_notice_that_adapters_come_and_go(base: CsmModel, packs: list[VoicePack]) -> None:
    whole = speak(base)
    chunks = stream(base)
    heard = [next(chunks), next(chunks)]
    first = base.attach(packs[0])
    heard.append(next(chunks))
    second = base.attach(packs[1])
    heard.append(next(chunks))
    first.close()
    heard.append(next(chunks))
    second.close()
    heard.extend(chunks)
    np.testing.assert_array_equal(np.concatenate(heard), whole)


def test_streams_of_base_and_adapters_alternate_without_mixing(base: CsmModel, packs: list[VoicePack]) -> None:
    models: list[Model] = [base, *(base.attach(pack) for pack in packs)]
    alone = [speak(model) for model in models]
    assert len({sound.tobytes() for sound in alone}) == len(models)
    frames = zip(*(stream(model) for model in models), strict=True)
    together = [np.concatenate(list(parts)) for parts in zip(*frames, strict=True)]
    for mixed, single in zip(together, alone, strict=True):
        np.testing.assert_array_equal(mixed, single)


def test_an_adapter_that_goes_leaves_the_others_as_they_are(base: CsmModel, packs: list[VoicePack]) -> None:
    first, second = (base.attach(pack) for pack in packs)
    sound = speak(second)
    first.close()
    np.testing.assert_array_equal(speak(second), sound)
    again = base.attach(packs[0])
    np.testing.assert_array_equal(speak(second), sound)
    again.close()


def test_an_adapter_tells_its_own_voices_and_bytes(base: CsmModel, packs: list[VoicePack]) -> None:
    adapter = base.attach(packs[0])
    assert [voice.name for voice in adapter.voices] == ["first", "second"]
    file = packs[0].path / "adapter_model.safetensors"
    assert adapter.memory_bytes == pytest.approx(file.stat().st_size, rel=0.3)
    assert 0 < adapter.memory_bytes < base.memory_bytes


@pytest.mark.timeout(300)
def test_memory_returns_after_many_attachments(base: CsmModel, packs: list[VoicePack]) -> None:
    process = psutil.Process()
    resident: list[int] = []
    for _ in range(CYCLES):
        adapter = base.attach(packs[0])
        next(stream(adapter))
        adapter.close()
        resident.append(process.memory_info().rss)
    assert max(resident[SETTLING_CYCLES:]) < 1.05 * resident[SETTLING_CYCLES - 1]


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def without_a_tensor(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    kept = load_file(file)
    kept.popitem()
    save_file(kept, file)


def with_a_tensor_too_many(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    have = load_file(file)
    name = next(name for name in have if ".lora_A." in name)
    save_file(have | {name.replace(".lora_A.", ".nowhere.lora_A."): have[name].clone()}, file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), r"adapter_config\.json is missing"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), r"adapter_model\.safetensors is missing"),
        (lambda folder: (folder / "adapter_config.json").write_text("["), "can't be read"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\0" * 32), "can't be read"),
        (lambda folder: configure(folder, peft_type="IA3"), "peft_type is 'IA3', and only LORA"),
        (lambda folder: configure(folder, bias="all"), "bias is 'all': it would change the base"),
        (lambda folder: configure(folder, target_modules=["nowhere"]), "does not fit its base"),
        (lambda folder: configure(folder, r=8), "does not fit its base"),
        (without_a_tensor, r"does not fit its base: it lacks 1 weights \(such as base_model\."),
        (with_a_tensor_too_many, r"1 weights \(such as .*nowhere.*\) that the base has no place for"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_leaves_nothing(
    base: CsmModel, packs: list[VoicePack], tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    broken = replace(packs[0], path=shutil.copytree(packs[0].path, tmp_path / "lora"))
    damage(broken.path)
    before, count = speak(base), tensors(base)
    other = base.attach(packs[1])
    sound, with_other = speak(other), tensors(base)
    with pytest.raises(VoiceplaneError, match=message) as caught:
        base.attach(broken)
    assert caught.value.reason == "PACK_INVALID"
    assert tensors(base) == with_other
    np.testing.assert_array_equal(speak(other), sound)
    other.close()
    with pytest.raises(VoiceplaneError, match=message):
        base.attach(broken)
    assert tensors(base) == count
    np.testing.assert_array_equal(speak(base), before)
