"""Families that no worker has are reported with the available ones, during rollouts and in mixed pools, too."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_operator.reconcile.family_check import MAX_NAMED, missing_in_pool, unavailable
from voiceplane_proto.v1 import tts_pb2

from tests.unit.operator.objects import a_lora, a_model, a_pool

Families = dict[str, tts_pb2.Family]


def having(*names: str, lora: bool = False) -> Families:
    return {name: tts_pb2.Family(name=name, lora=lora) for name in names}


LABELLED = {"labels": {"tier": "gpu"}}
SELECTING: dict[str, Any] = {"poolSelector": {"matchLabels": {"tier": "gpu"}}}


def test_a_missing_family_is_reported_with_the_available_ones() -> None:
    refusal = unavailable(a_model(family="festival"), [having("piper", "mock"), having("kokoro")])
    assert refusal is not None
    assert refusal.reason == "FamilyNotAvailable"
    assert "festival" in refusal.message
    assert "kokoro, mock, piper" in refusal.message


@pytest.mark.parametrize(
    "workers",
    [[], [having("mock")], [having("mock"), having("piper")], [having("piper"), having("mock")]],
    ids=["none is connected", "all have it", "rollout away from it", "rollout to it"],
)
def test_a_family_that_a_worker_has_or_may_have_is_available(workers: list[Families]) -> None:
    assert unavailable(a_model(family="mock"), workers) is None


def test_an_unsupported_lora_is_reported_with_supporting_families() -> None:
    refusal = unavailable(a_lora("tuned", "base", family="piper"), [having("piper") | having("csm", lora=True)])
    assert refusal is not None
    assert refusal.reason == "LoraNotSupported"
    assert "csm" in refusal.message


def missing(workers: dict[str, Families], *, gating: bool = False, default: str = "", **model: Any) -> str:
    pool = a_pool(defaultModel=default, metadata=LABELLED)
    return missing_in_pool(pool, [a_model("joe", **model)], workers, gating=gating)


def test_a_selecting_model_without_its_family_degrades_the_pool() -> None:
    message = missing({"w1": having("mock"), "w2": having("piper")}, family="festival", **SELECTING)
    assert "joe" in message
    assert "festival" in message
    assert "mock, piper" in message


@pytest.mark.parametrize(
    ("workers", "model"),
    [
        ({"w1": having("mock")}, {"family": "festival"}),
        ({"w1": having("mock"), "w2": having("festival")}, {"family": "festival"} | SELECTING),
        ({"w1": having("mock")}, {"family": "mock"} | SELECTING),
        ({}, {"family": "festival"} | SELECTING),
    ],
    ids=["meant for any pool", "rollout", "available", "none is connected"],
)
def test_other_models_do_not_degrade_a_pool(workers: dict[str, Families], model: dict[str, Any]) -> None:
    assert missing(workers, **model) == ""


@pytest.mark.parametrize(
    ("workers", "count"),
    [
        ({"w1": having("mock")}, "1 of 1"),
        ({"w1": having("festival"), "w2": having("mock")}, "1 of 2"),
    ],
)
def test_the_default_model_needs_its_family_on_every_worker(workers: dict[str, Families], count: str) -> None:
    assert count in missing(workers, gating=True, default="joe", family="festival")
    assert missing(workers, gating=False, default="joe", family="festival") == ""
    assert missing(workers, gating=True, default="other", family="festival") == ""


def test_a_long_list_of_models_is_cut() -> None:
    models = [a_model(f"voice-{number}", family="festival", **SELECTING) for number in range(MAX_NAMED + 3)]
    message = missing_in_pool(a_pool(metadata=LABELLED), models, {"w1": having("mock")}, gating=False)
    assert "and 3 more" in message
