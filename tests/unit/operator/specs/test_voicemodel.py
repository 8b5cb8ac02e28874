"""A VoiceModel's spec as the operator reads it: its defaults, its selector, and fields of other versions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from voiceplane_common.artifacts.fetching import SCHEMES
from voiceplane_operator.specs.base import LabelSelector
from voiceplane_operator.specs.voicemodel import Source, VoiceModelSpec

POOL = {"tier": "gpu", "zone": "a"}


def spec(**fields: Any) -> VoiceModelSpec:
    return VoiceModelSpec.model_validate({"family": "piper"} | fields)


def test_a_family_is_enough() -> None:
    assert spec().model_dump() == {
        "family": "piper",
        "model_id": "",
        "source": None,
        "languages": (),
        "voices": (),
        "lora": None,
        "memory": None,
        "residency": {"policy": "preload", "ttl_seconds": None, "min_residency_seconds": None},
        "pool_selector": {"match_labels": {}, "match_expressions": ()},
        "load_timeout_seconds": None,
        "warm_up_text": "",
        "options": {},
    }


def test_every_field_is_read_by_its_camel_case_name() -> None:
    read = spec(
        modelId="joe",
        source={"uri": "s3://voices/joe.tar", "sha256": "a" * 64, "secretRef": {"name": "s3.keys"}},
        languages=["en-US", "de"],
        voices=[{"name": "low"}, {"name": "high", "language": "en-GB"}],
        memory="1500Mi",
        residency={"policy": "onDemand", "ttlSeconds": 60, "minResidencySeconds": 0},
        warmUpText="hello",
        options={"speaker": "1"},
    )
    assert read.model_id == "joe"
    assert read.source is not None
    assert (read.source.uri, read.source.sha256) == ("s3://voices/joe.tar", "a" * 64)
    assert read.source.secret_ref is not None
    assert read.source.secret_ref.name == "s3.keys"
    assert read.languages == ("en-US", "de")
    assert [(voice.name, voice.language) for voice in read.voices] == [("low", ""), ("high", "en-GB")]
    assert read.memory == "1500Mi"
    residency = read.residency
    assert (residency.policy, residency.ttl_seconds, residency.min_residency_seconds) == ("onDemand", 60, 0)
    assert (read.warm_up_text, read.options) == ("hello", {"speaker": "1"})


def test_a_lora_names_its_base_and_its_files() -> None:
    lora = spec(family="csm", lora={"baseModelRef": {"name": "base"}, "source": {"uri": "file:///lora"}}).lora
    assert lora is not None
    assert (lora.base_model_ref.name, lora.source.uri) == ("base", "file:///lora")
    assert (lora.source.sha256, lora.source.secret_ref) == ("", None)


@pytest.mark.parametrize("memory", [1_500_000_000, "1500Mi", "1.5G"])
def test_memory_is_a_number_or_a_quantity(memory: int | str) -> None:
    assert spec(memory=memory).memory == memory


def test_a_field_that_only_a_newer_version_knows_is_ignored() -> None:
    assert spec(emotion="glad", residency={"policy": "pinned", "shelf": 3}).residency.policy == "pinned"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"family": "a" * 64}, "family"),
        ({"family": None}, "family"),
        ({"residency": {"policy": "always"}}, "residency.policy"),
        ({"residency": {"ttlSeconds": -1}}, "residency.ttlSeconds"),
        ({"source": {}}, "source.uri"),
        ({"lora": {"source": {"uri": "file:///lora"}}}, "lora.baseModelRef"),
        ({"voices": [{"language": "en"}]}, "voices.0.name"),
    ],
)
def test_an_invalid_field_is_refused_by_its_path(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        spec(**fields)
    assert [".".join(str(part) for part in each["loc"]) for each in raised.value.errors()] == [where]


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"tier": "gpu"}}, True),
        ({"matchLabels": {"tier": "gpu", "zone": "b"}}, False),
        ({"matchLabels": {"other": ""}}, False),
        ({"matchExpressions": [expression("zone", "In", "a", "b")]}, True),
        ({"matchExpressions": [expression("zone", "In", "b")]}, False),
        ({"matchExpressions": [expression("other", "In", "a")]}, False),
        ({"matchExpressions": [expression("zone", "NotIn", "a")]}, False),
        ({"matchExpressions": [expression("zone", "NotIn", "b")]}, True),
        ({"matchExpressions": [expression("other", "NotIn", "a")]}, True),
        ({"matchExpressions": [expression("tier", "Exists")]}, True),
        ({"matchExpressions": [expression("other", "Exists")]}, False),
        ({"matchExpressions": [expression("tier", "DoesNotExist")]}, False),
        ({"matchExpressions": [expression("other", "DoesNotExist")]}, True),
        ({"matchExpressions": [expression("tier", "Exists"), expression("zone", "In", "b")]}, False),
        ({"matchLabels": {"tier": "gpu"}, "matchExpressions": [expression("zone", "In", "a")]}, True),
        ({"matchLabels": {"tier": "cpu"}, "matchExpressions": [expression("zone", "In", "a")]}, False),
    ],
)
def test_a_selector_selects_pools_by_their_labels(selector: dict[str, Any], selected: bool) -> None:
    assert spec(poolSelector=selector).pool_selector.matches(POOL) is selected


def test_an_empty_selector_selects_a_pool_without_labels() -> None:
    assert LabelSelector().matches({})
    assert not LabelSelector(match_labels={"tier": "gpu"}).matches({})


def test_a_spec_is_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().model_id = "another"  # type: ignore[misc]


def test_every_scheme_that_can_be_fetched_may_be_declared() -> None:
    (rule,) = Source.model_json_schema()["properties"]["uri"]["x-kubernetes-validations"]
    pattern = re.fullmatch(r"self\.matches\('(.*)'\)", rule["rule"])
    assert pattern
    for scheme in SCHEMES:
        uri = f"{scheme}:{'///a' if scheme == 'file' else 'a' if scheme == 'package' else '//a/b'}"
        assert re.search(pattern[1], uri), uri
        assert f"{scheme}:" in rule["message"]
    assert not re.search(pattern[1], "ftp://a/b")
