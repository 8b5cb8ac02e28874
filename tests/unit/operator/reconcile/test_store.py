"""Which observations the store accepts as changes, which it ignores, and which it cannot read."""

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
    """Whether each observation of a VoiceModel was a change."""
    return [store.observe("VoiceModel", each, gone=gone).declared for each in bodies]


@KINDS
def test_a_new_object_is_a_change(kind: str) -> None:
    store = Store()
    made = body("joe", SPECS[kind], resourceVersion="1")
    assert store.observe(kind, made, gone=False) == Observed(KEY, declared=True)
    assert (KEY in store.models, KEY in store.pools) == (kind == "VoiceModel", kind == "TTSWorkerPool")


@KINDS
def test_a_deletion_is_one_change(kind: str) -> None:
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
def test_only_spec_and_metadata_count_as_a_change(after: dict[str, Any], declared: bool) -> None:
    store = Store()
    assert observed(store, voice(), after) == [True, declared]
    assert store.models[KEY].status == after.get("status", {})
    assert store.models[KEY].meta.uid == after["metadata"]["uid"]


def test_an_older_version_is_ignored() -> None:
    store = Store()
    assert observed(store, voice(version=9, modelId="new"), voice(version=8, modelId="old")) == [True, False]
    assert store.models[KEY].model_id == "new"
    store.observe("VoiceModel", voice(version=9, modelId="new") | {"status": {"phase": "Resident"}}, gone=False)
    assert store.models[KEY].status == {"phase": "Resident"}


def test_versions_are_compared_as_numbers() -> None:
    store = Store()
    observed(store, voice(version=9, modelId="nine"), voice(version=10, modelId="ten"))
    assert store.models[KEY].model_id == "ten"


def test_versions_are_compared_for_one_object_only() -> None:
    store = Store()
    assert observed(store, voice(version=9), voice("amy", version=8)) == [True, True]
    assert store.observe("TTSWorkerPool", pool(uid="uid-joe", resourceVersion="3"), gone=False).declared
    recreated = voice(version=5, metadata={"uid": "another"}, modelId="recreated")
    assert observed(store, recreated) == [True]
    assert store.models[KEY].model_id == "recreated"


def test_an_object_without_a_version_is_the_oldest() -> None:
    store = Store()
    unversioned = body("joe", {"family": "mock"})
    assert observed(store, unversioned, voice(version=1, modelId="new"), unversioned) == [True, True, False]


@KINDS
def test_a_late_event_does_not_restore_a_deleted_object(kind: str) -> None:
    """The late event may be a list, or the answer to a status write."""
    store = Store(clock=VirtualClock())
    made = body("joe", SPECS[kind], resourceVersion="9")
    store.observe(kind, made, gone=False)
    assert store.observe(kind, made, gone=True).declared
    assert not store.observe(kind, made, gone=False).declared
    assert not store.observe(kind, body("joe", SPECS[kind], resourceVersion="10"), gone=False).declared
    assert (store.models, store.pools) == ({}, {})


def test_a_deletion_counts_whatever_its_version() -> None:
    store = Store()
    observed(store, voice(version=9))
    assert observed(store, voice(version=3), gone=True) == [True]


def test_a_recreated_object_is_another_object() -> None:
    store = Store(clock=VirtualClock())
    observed(store, voice())
    observed(store, voice(), gone=True)
    assert observed(store, voice(version=7, metadata={"uid": "another"})) == [True]
    assert observed(store, voice(), gone=True) == [False], "a late event of the object before"
    assert store.models[KEY].meta.uid == "another"


def test_a_deletion_found_by_a_list_needs_no_uid() -> None:
    store = Store(clock=VirtualClock())
    observed(store, voice())
    missing = {"metadata": {"namespace": NAMESPACE, "name": "joe"}}
    assert observed(store, missing, gone=True) == [True]
    assert observed(store, missing, gone=True) == [False]
    assert observed(store, voice()) == [False], "the answer to its last status write"
    assert store.models == {}


@pytest.mark.parametrize(("seconds", "version"), [(LATE_S - 1, 9000), (LATE_S, 40)], ids=["late", "restored"])
async def test_a_much_later_older_version_is_a_restored_etcds(seconds: float, version: int) -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    observed(store, voice(version=9000, modelId="m9000"))
    await clock.advance(seconds)
    observed(store, voice(version=40, modelId="m40"))
    assert store.models[KEY].model_id == f"m{version}"


async def test_a_restored_etcd_restores_a_deleted_object() -> None:
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


async def test_each_observation_renews_the_time() -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    observed(store, voice(version=9, modelId="new"))
    await clock.advance(LATE_S - 1)
    observed(store, voice(version=9, modelId="new"))
    await clock.advance(LATE_S - 1)
    observed(store, voice(version=8, modelId="old"))
    assert store.models[KEY].model_id == "new"


async def test_deleted_objects_are_remembered_for_a_limited_time() -> None:
    clock = VirtualClock()
    store = Store(clock=clock)
    for number in range(100):
        made = voice(f"voice-{number}", version=number)
        observed(store, made)
        observed(store, made, gone=True)
        await clock.advance(LATE_S / 10)
    assert len(store._last) <= 11


def test_an_unreadable_object_counts_as_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store()
    unreadable = voice(version=2, residency={"policy": "of the next version"})
    assert observed(store, voice("amy", residency={"policy": "of the next version"})) == [False]
    assert observed(store, voice(), unreadable, voice(version=3)) == [True, True, True]
    logged = "".join(capsys.readouterr())
    assert "object_unreadable" in logged
    assert "speech/joe" in logged


def test_namespaces_are_separate() -> None:
    store = Store()
    elsewhere = {"namespace": "elsewhere", "uid": "2"}
    observed(store, voice(modelId="same"), voice(modelId="same", metadata=elsewhere), voice("amy"))
    other = Key("elsewhere", "joe")
    assert store.models_of("elsewhere").keys() == {other}
    assert store.models_of(NAMESPACE).keys() == {KEY, Key(NAMESPACE, "amy")}
    assert store.model_keys("elsewhere", frozenset({"same", "amy"})) == [other]
    assert store.model_keys(NAMESPACE, frozenset({"amy"})) == [Key(NAMESPACE, "amy")]
    assert store.model_keys(NAMESPACE, frozenset({"joe"})) == [], "its modelId is not its name"


def test_a_deleting_pool_gets_no_models() -> None:
    store = Store()
    for made in (pool(), pool("going", deletionTimestamp="2026"), pool("other", namespace="elsewhere")):
        store.observe("TTSWorkerPool", made, gone=False)
    assert store.pools_of(NAMESPACE).keys() == {Key(NAMESPACE, "p")}
    assert len(store.pools) == 3


@KINDS
def test_declared_and_unready_objects_are_counted(kind: str) -> None:
    store, metrics = Store(), Metrics()
    store.export(metrics)

    def counted() -> tuple[float | None, float | None]:
        value = metrics.registry.get_sample_value
        return value("voiceplane_operator_declared", {"kind": kind}), value(
            "voiceplane_operator_unready", {"kind": kind}
        )

    def with_conditions(name: str, *conditions: tuple[str, str]) -> dict[str, Any]:
        said = [{"type": which, "status": status} for which, status in conditions]
        return body(name, SPECS[kind]) | ({"status": {"conditions": said}} if said else {})

    assert counted() == (0, 0)
    made = {
        "new": with_conditions("new"),
        "ready": with_conditions("ready", ("Degraded", "False"), ("Ready", "True")),
        "unready": with_conditions("unready", ("Accepted", "True"), ("Ready", "False")),
    }
    for each in made.values():
        store.observe(kind, each, gone=False)
    assert counted() == (3, 2)
    store.observe(kind, made["unready"], gone=True)
    assert counted() == (2, 1)
