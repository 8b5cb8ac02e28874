"""What the store takes for news, what it passes by, and what it can't read."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_common.kube.api import Key
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.reconcile.store import LATE_S, Observed, Store

from tests.support.clock import VirtualClock
from tests.unit.operator.objects import NAMESPACE, body

KEY = Key(NAMESPACE, "joe")
SPECS = {"VoiceModel": {"family": "mock"}, "TTSWorkerPool": {"image": "worker:1"}}
KINDS = pytest.mark.parametrize("kind", SPECS)


def voice(name: str = "joe", *, version: int = 1, metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    return body(name, {"family": "mock"} | spec, **({"resourceVersion": str(version)} | (metadata or {})))


def pool(name: str = "p", **metadata: Any) -> Any:
    return body(name, {"image": "worker:1"}, **({"resourceVersion": "1"} | metadata))


def observed(store: Store, *bodies: dict[str, Any], gone: bool = False) -> list[bool]:
    """Whether each VoiceModel was news."""
    return [store.observe("VoiceModel", each, gone=gone).declared for each in bodies]


@KINDS
def test_a_new_object_is_news_and_known_by_its_key(kind: str) -> None:
    store = Store()
    made = body("joe", SPECS[kind], resourceVersion="1")
    assert store.observe(kind, made, gone=False) == Observed(KEY, declared=True)
    assert (KEY in store.models, KEY in store.pools) == (kind == "VoiceModel", kind == "TTSWorkerPool")


@KINDS
def test_one_that_is_deleted_goes_and_is_news_once(kind: str) -> None:
    store = Store()
    made = body("joe", SPECS[kind], resourceVersion="1")
    store.observe(kind, made, gone=False)
    assert store.observe(kind, made, gone=True) == Observed(KEY, declared=True)
    assert store.observe(kind, made, gone=True) == Observed(KEY, declared=False)
    assert (store.models, store.pools) == ({}, {})


@pytest.mark.parametrize(
    ("after", "declared"),
    [
        (voice(version=2), False),
        (voice(version=2) | {"status": {"phase": "Resident"}}, False),
        (voice(version=2, warmUpText="hi"), True),
        (voice(version=2, metadata={"generation": 2}), True),
        (voice(version=2, metadata={"labels": {"a": "b"}}), True),
        (voice(version=2, metadata={"deletionTimestamp": "2026"}), True),
        (voice(version=2, metadata={"uid": "another"}), True),
        (voice(version=2, metadata={"managedFields": [{}]}), False),
    ],
    ids=["the same", "status", "spec", "generation", "labels", "deletion", "another object", "what we do not read"],
)
def test_only_what_is_declared_is_news_but_everything_is_kept(after: dict[str, Any], declared: bool) -> None:
    store = Store()
    assert observed(store, voice(), after) == [True, declared]
    assert store.models[KEY].status == after.get("status", {})
    assert store.models[KEY].meta.uid == after["metadata"]["uid"]


def test_an_older_version_is_passed_by_and_the_same_one_is_not() -> None:
    store = Store()
    assert observed(store, voice(version=9, modelId="new"), voice(version=8, modelId="old")) == [True, False]
    assert store.models[KEY].model_id == "new"
    store.observe("VoiceModel", voice(version=9, modelId="new") | {"status": {"phase": "Resident"}}, gone=False)
    assert store.models[KEY].status == {"phase": "Resident"}


def test_versions_are_numbers_and_not_text() -> None:
    store = Store()
    observed(store, voice(version=9, modelId="nine"), voice(version=10, modelId="ten"))
    assert store.models[KEY].model_id == "ten"


def test_versions_are_compared_within_one_object_only() -> None:
    store = Store()
    assert observed(store, voice(version=9), voice("amy", version=8)) == [True, True]
    assert store.observe("TTSWorkerPool", pool(uid="uid-joe", resourceVersion="3"), gone=False).declared
    recreated = voice(version=5, metadata={"uid": "another"}, modelId="recreated")
    assert observed(store, recreated) == [True]
    assert store.models[KEY].model_id == "recreated"


def test_one_that_has_no_version_yet_is_taken_for_the_oldest() -> None:
    store = Store()
    unversioned = body("joe", {"family": "mock"})
    assert observed(store, unversioned, voice(version=1, modelId="new"), unversioned) == [True, True, False]


@KINDS
def test_what_was_under_way_when_its_object_was_deleted_does_not_bring_it_back(kind: str) -> None:
    """Such as a list, or the answer to the write of a status."""
    store = Store(clock=VirtualClock())
    made = body("joe", SPECS[kind], resourceVersion="9")
    store.observe(kind, made, gone=False)
    assert store.observe(kind, made, gone=True).declared
    assert not store.observe(kind, made, gone=False).declared
    assert not store.observe(kind, body("joe", SPECS[kind], resourceVersion="10"), gone=False).declared
    assert (store.models, store.pools) == ({}, {})


def test_a_deletion_holds_whatever_its_version() -> None:
    store = Store()
    observed(store, voice(version=9))
    assert observed(store, voice(version=3), gone=True) == [True]


def test_one_that_is_made_anew_after_a_deletion_is_another_object() -> None:
    store = Store(clock=VirtualClock())
    observed(store, voice())
    observed(store, voice(), gone=True)
    assert observed(store, voice(version=7, metadata={"uid": "another"})) == [True]
    assert observed(store, voice(), gone=True) == [False], "told late, of the one before"
    assert store.models[KEY].meta.uid == "another"


def test_a_deletion_that_was_found_missing_from_a_list_has_no_uid() -> None:
    store = Store(clock=VirtualClock())
    observed(store, voice())
    missing = {"metadata": {"namespace": NAMESPACE, "name": "joe"}}
    assert observed(store, missing, gone=True) == [True]
    assert observed(store, missing, gone=True) == [False]
    assert observed(store, voice()) == [False], "its last status was being written"
    assert store.models == {}


@pytest.mark.parametrize(("seconds", "version"), [(LATE_S - 1, 9000), (LATE_S, 40)], ids=["late", "restored"])
async def test_what_is_older_long_after_is_what_a_restored_etcd_has(seconds: float, version: int) -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    observed(store, voice(version=9000, modelId="m9000"))
    await clock.advance(seconds)
    observed(store, voice(version=40, modelId="m40"))
    assert store.models[KEY].model_id == f"m{version}"


async def test_a_restored_etcd_brings_back_what_was_deleted_and_counts_on_from_there() -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    observed(store, voice(version=9000))
    observed(store, voice(version=9001), gone=True)
    await clock.advance(LATE_S)
    assert observed(store, voice(version=40), voice(version=41, modelId="new"), voice(version=40)) == [
        True,
        True,
        False,
    ]
    assert store.models[KEY].model_id == "new"


async def test_what_is_seen_again_is_no_longer_ago() -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    observed(store, voice(version=9, modelId="new"))
    await clock.advance(LATE_S - 1)
    observed(store, voice(version=9, modelId="new"))
    await clock.advance(LATE_S - 1)
    observed(store, voice(version=8, modelId="old"))
    assert store.models[KEY].model_id == "new"


async def test_deleted_objects_are_remembered_for_a_while_only() -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    for number in range(100):
        made = voice(f"voice-{number}", version=number)
        observed(store, made)
        observed(store, made, gone=True)
        await clock.advance(LATE_S / 10)
    assert len(store._last) <= 11


def test_one_that_can_not_be_read_is_none_and_ends_what_was_declared_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store()
    unreadable = voice(version=2, residency={"policy": "of the next version"})
    assert observed(store, voice("amy", residency={"policy": "of the next version"})) == [False]
    assert observed(store, voice(), unreadable, voice(version=3)) == [True, True, True]
    told = "".join(capsys.readouterr())
    assert "object_unreadable" in told
    assert "speech/joe" in told


def test_namespaces_are_apart() -> None:
    store = Store()
    elsewhere = {"namespace": "elsewhere", "uid": "2"}
    observed(store, voice(modelId="same"), voice(modelId="same", metadata=elsewhere), voice("amy"))
    other = Key("elsewhere", "joe")
    assert store.models_of("elsewhere").keys() == {other}
    assert store.models_of(NAMESPACE).keys() == {KEY, Key(NAMESPACE, "amy")}
    assert store.model_keys("elsewhere", frozenset({"same", "amy"})) == [other]
    assert store.model_keys(NAMESPACE, frozenset({"amy"})) == [Key(NAMESPACE, "amy")]
    assert store.model_keys(NAMESPACE, frozenset({"joe"})) == [], "it has another modelId than its name"


def test_pools_that_are_being_deleted_get_no_models_any_more() -> None:
    store = Store()
    for made in (pool(), pool("going", deletionTimestamp="2026"), pool("other", namespace="elsewhere")):
        store.observe("TTSWorkerPool", made, gone=False)
    assert store.pools_of(NAMESPACE).keys() == {Key(NAMESPACE, "p")}
    assert len(store.pools) == 3


@KINDS
def test_what_is_declared_is_counted_and_what_of_it_is_not_ready(kind: str) -> None:
    store, metrics = Store(), Metrics()
    store.export(metrics)

    def counted() -> tuple[float | None, float | None]:
        value = metrics.registry.get_sample_value
        return value("voiceplane_operator_declared", {"kind": kind}), value(
            "voiceplane_operator_unready", {"kind": kind}
        )

    def told(name: str, *conditions: tuple[str, str]) -> dict[str, Any]:
        said = [{"type": which, "status": status} for which, status in conditions]
        return body(name, SPECS[kind]) | ({"status": {"conditions": said}} if said else {})

    assert counted() == (0, 0)
    made = {
        "new": told("new"),
        "ready": told("ready", ("Degraded", "False"), ("Ready", "True")),
        "unready": told("unready", ("Accepted", "True"), ("Ready", "False")),
    }
    for each in made.values():
        store.observe(kind, each, gone=False)
    assert counted() == (3, 2)
    store.observe(kind, made["unready"], gone=True)
    assert counted() == (2, 1)
