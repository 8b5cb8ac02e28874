"""Adapters and checkpoints as trainings really leave them: Unsloth's notebook, older transformers, peft's variants."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_csm.adapter import CsmAdapter
from voiceplane_worker.adapters.base import Piece

from families.csm.tests.tiny import lora_pack, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voiceplane_family_csm.model import CsmModel
    from voiceplane_worker.adapters.base import Model, Samples
    from voiceplane_worker.packs.pack import VoicePack

SEED = "7"
NOTEBOOK = {
    "r": 32,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
"""What Unsloth's notebook for CSM asks peft for: it matches the codec's attention, too."""


@pytest.fixture(scope="module")
def base_pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("csm") / "tiny", seed=SEED)


@pytest.fixture
def base(base_pack: VoicePack) -> Iterator[CsmModel]:
    model = CsmAdapter().load(base_pack, device="cpu", threads=1)
    yield model
    model.close()


def speak(model: Model) -> Samples:
    return np.concatenate(list(model.synthesize(Piece(text="Nine green bottles.", voice="first", language="en"))))


def speak_with(base: CsmModel, pack: VoicePack) -> Samples:
    adapter = base.attach(pack)
    try:
        return speak(adapter)
    finally:
        adapter.close()


def rename(file: Path, name_of: Callable[[str], str]) -> set[str]:
    """Rename the weights of a file. Returns their new names."""
    weights = {name_of(name): tensor.contiguous() for name, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    return set(weights)


def flat(name: str) -> str:
    """A name of the codec's layers before they were in halves."""
    for half in ("encoder", "decoder"):
        name = name.replace(f"codec_model.{half}.{half}_transformer.", f"codec_model.{half}_transformer.")
        name = name.replace(f"codec_model.{half}.{half}_seanet.", f"codec_model.{half}.")
    return name.replace("codec_model.encoder.downsample.", "codec_model.downsample.").replace(
        "codec_model.decoder.upsample.", "codec_model.upsample."
    )


def configure(pack: VoicePack, **changes: Any) -> None:
    file = pack.path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_adapter_of_unsloths_notebook_speaks_as_the_same_one_with_this_releases_names(
    base: CsmModel, base_pack: VoicePack, tmp_path: Path
) -> None:
    pack = lora_pack(tmp_path / "lora", base_pack, lora=NOTEBOOK, seed=SEED)
    before, expected = speak(base), speak_with(base, pack)
    assert not np.array_equal(expected[: before.size], before[: expected.size])
    names = rename(pack.path / "adapter_model.safetensors", flat)
    assert "base_model.model.codec_model.decoder_transformer.layers.0.self_attn.q_proj.lora_A.weight" in names
    configure(
        pack,
        base_model_name_or_path="unsloth/csm-1b-unsloth-bnb-4bit",
        auto_mapping={
            "base_model_class": "CsmForConditionalGeneration",
            "parent_library": "transformers.models.csm.modeling_csm",
            "unsloth_fixed": True,
        },
    )
    np.testing.assert_array_equal(speak_with(base, pack), expected)
    np.testing.assert_array_equal(speak(base), before)


@pytest.mark.parametrize(
    "pattern",
    [
        r"backbone_model\..*\.(q_proj|v_proj)",
        r"(?:.*?(?:codec_model).*?(?:encoder_transformer|decoder_transformer)\.layers.*?(?:q_proj|v_proj))",
    ],
    ids=["backbone", "codec"],
)
def test_a_pattern_names_the_layers_of_its_time(
    base: CsmModel, base_pack: VoicePack, tmp_path: Path, pattern: str
) -> None:
    pack = lora_pack(tmp_path / "lora", base_pack, lora={"target_modules": pattern}, seed=SEED)
    expected = speak_with(base, pack)
    rename(pack.path / "adapter_model.safetensors", flat)
    configure(pack, target_modules=pattern.replace("codec_model", "^codec_model"))
    np.testing.assert_array_equal(speak_with(base, pack), expected)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True` and a tied layer:UserWarning")
@pytest.mark.parametrize(
    "lora",
    [
        {"use_rslora": True, "lora_alpha": 32},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "embed_text_tokens"]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}},
        {"layers_to_transform": [0], "layers_pattern": "layers"},
    ],
    ids=["rslora", "dora", "modules_to_save", "embeddings", "patterns", "layers"],
)
def test_each_variant_of_peft_changes_the_sound_and_leaves_the_base_as_it_was(
    base: CsmModel, base_pack: VoicePack, tmp_path: Path, lora: dict[str, Any]
) -> None:
    before = speak(base)
    plain = speak_with(base, lora_pack(tmp_path / "plain", base_pack, seed=SEED))
    sound = speak_with(base, lora_pack(tmp_path / "lora", base_pack, lora=lora, seed=SEED))
    assert not np.array_equal(sound, before)
    assert not np.array_equal(sound, plain)
    np.testing.assert_array_equal(speak(base), before)


def test_a_merged_checkpoint_of_an_older_release_is_a_model(
    base: CsmModel, base_pack: VoicePack, tmp_path: Path
) -> None:
    merged = replace(base_pack, path=shutil.copytree(base_pack.path, tmp_path / "merged"))
    names = rename(merged.path / "model.safetensors", flat)
    assert "codec_model.decoder_transformer.layers.0.self_attn.q_proj.weight" in names
    model = CsmAdapter().load(merged, device="cpu", threads=1)
    try:
        np.testing.assert_array_equal(speak(model), speak(base))
    finally:
        model.close()


def test_a_weight_that_the_base_has_no_place_for_is_named(base: CsmModel, base_pack: VoicePack, tmp_path: Path) -> None:
    pack = lora_pack(tmp_path / "lora", base_pack, lora=NOTEBOOK, seed=SEED)
    rename(pack.path / "adapter_model.safetensors", lambda name: flat(name).replace("backbone_model", "talker"))
    with pytest.raises(VoiceplaneError, match="talker") as caught:
        base.attach(pack)
    assert (caught.value.reason, caught.value.field) == ("PACK_INVALID", "base_model_id")
