"""Which VoiceModels are refused, which ones a pool gets, and how a worker reads their requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.models_file import dump_models_file
from voiceplane_operator.declarations import is_ours, refusals, request_of, wanted_by
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.residency.load_request import model_spec
from voiceplane_worker.residency.models_file import read_models_file

from tests.unit.operator.objects import a_lora, a_model, a_pool

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = {"uri": "https://example.com/joe.tar", "sha256": "a" * 64}


def test_the_older_of_two_models_with_one_id_is_served() -> None:
    younger = a_model("a", modelId="joe", metadata={"creationTimestamp": "2026-02-01T00:00:00Z"})
    older = a_model("b", modelId="joe", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    refused = refusals([younger, older])
    assert refused.keys() == {younger.key}
    assert refused[younger.key].reason == "DuplicateModelId"
    assert "VoiceModel b" in refused[younger.key].message


def test_the_same_id_in_another_namespace_is_no_duplicate() -> None:
    assert refusals([a_model("joe"), a_model("joe", metadata={"namespace": "other"})]) == {}


def test_a_deleting_model_frees_its_id() -> None:
    going = a_model("a", modelId="joe", metadata={"deletionTimestamp": "2026", "creationTimestamp": "2025"})
    assert refusals([going, a_model("b", modelId="joe")]) == {}


@pytest.mark.parametrize(
    ("others", "base", "reason"),
    [
        ([], "base", "BaseModelMissing"),
        ([a_model("base", metadata={"namespace": "other"})], "base", "BaseModelMissing"),
        ([], "lora", "BaseModelIsLora"),
        ([a_lora("other", "base"), a_model("base")], "other", "BaseModelIsLora"),
    ],
    ids=["missing", "in another namespace", "itself", "another LoRA"],
)
def test_a_lora_needs_a_base(others: list[Any], base: str, reason: str) -> None:
    lora = a_lora("lora", base)
    refused = refusals([lora, *others])
    assert refused[lora.key].reason == reason
    assert "baseModelRef" in refused[lora.key].message


def test_a_lora_with_its_base_is_accepted() -> None:
    assert refusals([a_lora("lora", "base"), a_model("base")]) == {}


def test_a_pool_gets_the_accepted_models_that_select_it_and_fit() -> None:
    pool = a_pool(memoryBudget="2Gi", metadata={"labels": {"tier": "gpu"}})
    yes = [
        a_model("any"),
        a_model("fits", memory="2Gi"),
        a_model("selects", poolSelector={"matchLabels": {"tier": "gpu"}}),
    ]
    refused = a_lora("refused", "missing")
    no = [
        refused,
        a_model("too-large", memory="2049Mi"),
        a_model("elsewhere", metadata={"namespace": "other"}),
        a_model("unselecting", poolSelector={"matchLabels": {"tier": "cpu"}}),
        a_model("going", metadata={"deletionTimestamp": "2026"}),
    ]
    models = [*yes, *no]
    assert wanted_by(pool, models, refusals(models)).keys() == {model.model_id for model in yes}


def test_a_request_has_the_fields_of_the_spec() -> None:
    model = a_model(
        source=SOURCE,
        modelId="joe-1",
        residency={"policy": "pinned", "minResidencySeconds": 7},
        warmUpText="Hello.",
        options={"speed": "1.5"},
    )
    request = request_of(model)
    assert (request.model_id, request.family) == ("joe-1", "mock")
    assert (request.source.uri, request.source.sha256) == (SOURCE["uri"], SOURCE["sha256"])
    assert (request.residency, request.min_residency_ms) == (tts_pb2.RESIDENCY_PINNED, 7000)
    assert (request.warm_up_text, dict(request.options)) == ("Hello.", {"speed": "1.5"})
    assert not request.declare_only
    assert is_ours(request.declaration)
    assert "/uid-joe/" in request.declaration


def test_a_model_on_demand_is_declared_without_a_load() -> None:
    assert request_of(a_model(residency={"policy": "onDemand"})).declare_only


def test_equal_specs_have_equal_declarations() -> None:
    one = request_of(a_model(source=SOURCE)).declaration
    assert request_of(a_model(source=SOURCE, poolSelector={"matchLabels": {"a": "b"}})).declaration == one
    assert request_of(a_model(source=SOURCE | {"sha256": "b" * 64})).declaration != one
    assert request_of(a_model(source=SOURCE, metadata={"uid": "another"})).declaration != one


def test_a_lora_has_its_own_files_and_its_bases_id() -> None:
    request = request_of(a_lora("lora", "base"), a_model("base", modelId="base-1"))
    assert (request.source.uri, request.base_model_id) == ("file:///lora", "base-1")


def test_a_worker_reads_the_models_file(tmp_path: Path) -> None:
    models = [
        a_model("joe", source=SOURCE, options={"a": "b"}, residency={"ttlSeconds": 9}),
        a_model("amy", residency={"policy": "onDemand"}, warmUpText="Grüß dich: #1"),
        a_lora("lora", "joe"),
    ]
    requests = [request_of(model, models[0] if model.spec.lora else None) for model in models]
    file = tmp_path / "models.yaml"
    file.write_text(dump_models_file(requests), encoding="utf-8")
    read = {model.model_id: model for model in read_models_file(file)}
    assert list(read) == ["amy", "joe", "lora"]  # sorted, so that equal models make equal files
    for request in requests:
        assert read[request.model_id] == model_spec(request)


def test_a_worker_reads_each_field_of_a_voicemodel(tmp_path: Path) -> None:
    model = a_model(
        "joe",
        source={"uri": "s3://voices/joe.tar", "secretRef": {"name": "s3.keys"}},
        voices=[{"name": "low", "language": "en"}, {"name": "high"}],
        languages=["en", "fr"],
    )
    request = request_of(model)
    assert request.source.credentials == "s3.keys"
    file = tmp_path / "models.yaml"
    file.write_text(dump_models_file([request]))
    (spec,) = read_models_file(file)
    assert spec == model_spec(request)
    assert spec.source is not None
    assert spec.source.credentials == "s3.keys"
    assert [(voice.name, voice.language) for voice in spec.voices] == [("low", "en"), ("high", "")]
    assert spec.languages == ("en", "fr")


@pytest.mark.parametrize(
    "changed",
    [
        {"voices": [{"name": "low"}]},
        {"languages": ["en"]},
        {"source": {"uri": "s3://voices/joe.tar", "secretRef": {"name": "other"}}},
    ],
    ids=["voices", "languages", "secretRef"],
)
def test_a_changed_field_changes_the_declaration(changed: dict[str, Any]) -> None:
    plain = {"source": {"uri": "s3://voices/joe.tar"}}
    before = request_of(a_model("joe", **plain)).declaration
    assert request_of(a_model("joe", **(plain | changed))).declaration != before


def test_the_patterns_of_a_source_reach_the_worker() -> None:
    request = request_of(a_model(source=SOURCE | {"include": ["*.onnx", "ref/"], "exclude": ["*.pt"]}))
    assert (list(request.source.include), list(request.source.exclude)) == (["*.onnx", "ref/"], ["*.pt"])
    source = model_spec(request).source
    assert source
    assert (source.include, source.exclude) == (("*.onnx", "ref/"), ("*.pt",))
