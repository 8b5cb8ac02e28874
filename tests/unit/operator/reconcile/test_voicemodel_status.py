"""A VoiceModel's status: its conditions and its counts, from what the workers report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from voiceplane_operator.declarations import Refusal
from voiceplane_operator.reconcile.voicemodel_status import MAX_TEXT_CHARS, ModelInstance, model_status
from voiceplane_proto.v1 import tts_pb2

from tests.unit.operator.objects import a_model

NOW = "2026-11-24T00:00:00Z"
EARLIER = "2026-11-23T00:00:00Z"

ABSENT = tts_pb2.MODEL_STATE_ABSENT
FETCHING = tts_pb2.MODEL_STATE_FETCHING
LOADING = tts_pb2.MODEL_STATE_LOADING
WARMING = tts_pb2.MODEL_STATE_WARMING
RESIDENT = tts_pb2.MODEL_STATE_RESIDENT
DRAINING = tts_pb2.MODEL_STATE_DRAINING
FAILED = tts_pb2.MODEL_STATE_FAILED


def on(
    worker: str,
    state: tts_pb2.ModelState.ValueType | None = RESIDENT,
    *,
    current: bool = True,
    usable: bool = True,
    refusal: tuple[str, str] | None = None,
    **reported: Any,
) -> ModelInstance:
    status = None if state is None else tts_pb2.ModelStatus(model_id="joe", state=state, **reported)
    return ModelInstance(
        worker=worker, pool="p", status=status, current=current and state is not None, usable=usable, refusal=refusal
    )


def status_of(
    *instances: ModelInstance, spec: dict[str, Any] | None = None, before: Any = (), **arguments: Any
) -> dict[str, Any]:
    model = replace(a_model(metadata={"generation": 3}, **(spec or {})), status={"conditions": list(before)})
    whole: dict[str, Any] = {"pools": 1, "refusal": None, "now": NOW} | arguments
    return model_status(model, instances=instances, **whole)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (each for each in status["conditions"] if each["type"] == kind)
    return dict(found)


def ready(status: dict[str, Any]) -> tuple[str, str, str]:
    """Ready's status, reason and message."""
    found = condition(status, "Ready")
    assert status["phase"] == found["reason"]
    return found["status"], found["reason"], found["message"]


RELOADING = on("w1", reason="Reloading")
RELOAD_FAILED = on("w1", reason="ReloadFailed", message="the digest differs")
OUTDATED = on("w1", current=False)
BROKEN = on("w2", FAILED, reason="DigestMismatch", message="the digest differs")


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([on("w1")], ("True", "Resident", "resident on 1 worker")),
        ([on("w1"), on("w2")], ("True", "Resident", "resident on 2 workers")),
        ([on("w1"), on("w2", LOADING)], ("True", "PartlyResident", "1 of 2")),
        ([on("w1"), on("w2", usable=False)], ("True", "PartlyResident", "1 of 2")),
        ([on("w1"), BROKEN], ("True", "PartlyResident", "1 of 2")),
        ([on("w1", FETCHING)], ("False", "Fetching", "fetching on 1 of 1 worker")),
        ([on("w1", LOADING), on("w2", LOADING)], ("False", "Loading", "loading on 2 of 2 workers")),
        ([on("w1", WARMING), on("w2", None)], ("False", "Warming", "warming on 1 of 2 workers")),
        ([on("w1", ABSENT), on("w2", WARMING)], ("False", "Warming", "warming on 1 of 2 workers")),
        ([on("w1", None), on("w2", None)], ("False", "Waiting", "2 workers")),
        ([on("w1", LOADING, current=False)], ("False", "Waiting", "1 worker")),
        ([on("w1", ABSENT, current=False)], ("False", "Waiting", "1 worker")),
        ([on("w1", usable=False)], ("False", "Waiting", "1 worker")),
        ([on("w1", ABSENT), on("w2", None)], ("False", "Waiting", "2 workers")),
        ([on("w1", LOADING), BROKEN], ("False", "DigestMismatch", "w2: the digest differs")),
        ([on("w1", FAILED, message="no")], ("False", "LoadFailed", "w1: no")),
    ],
)
def test_ready_follows_from_the_workers_reports(instances: list[ModelInstance], expected: tuple[str, str, str]) -> None:
    status, reason, words = expected
    found = ready(status_of(*instances))
    assert found[:2] == (status, reason)
    assert words in found[2]


@pytest.mark.parametrize(
    ("instances", "reason", "words"),
    [
        ([OUTDATED], "Reloading", "1 of 1 worker"),
        ([RELOADING], "Reloading", "1 of 1 worker"),
        ([OUTDATED, on("w2", LOADING)], "Reloading", "1 of 2 workers"),
        ([RELOAD_FAILED], "ReloadFailed", "w1: the digest differs"),
        ([OUTDATED, BROKEN], "DigestMismatch", "w2: the digest differs"),
    ],
)
def test_it_is_ready_while_the_previous_content_serves(instances: list[ModelInstance], reason: str, words: str) -> None:
    status = status_of(*instances)
    assert ready(status)[:2] == ("True", reason)
    assert words in ready(status)[2]
    assert (status["resident"], status["residency"]) == (0, f"0/{len(instances)}")


def test_content_is_declared_or_outdated_and_never_both() -> None:
    instances = [on("w1"), OUTDATED, RELOADING, RELOAD_FAILED, BROKEN, on("w1", None)]
    found = [(each.resident, each.outdated) for each in instances]
    assert found == [(True, False), *[(False, True)] * 3, *[(False, False)] * 2]


def test_a_worker_that_accepts_no_sessions_does_not_count_for_previous_content() -> None:
    assert ready(status_of(replace(OUTDATED, usable=False)))[:2] == ("False", "Waiting")


@pytest.mark.parametrize(
    ("policy", "reason"), [("onDemand", "OnDemand"), ("preload", "Evicted"), ("pinned", "Evicted")]
)
@pytest.mark.parametrize("state", [ABSENT, DRAINING])
def test_a_model_that_the_next_session_loads_is_ready(
    policy: str, reason: str, state: tts_pb2.ModelState.ValueType
) -> None:
    status = status_of(on("w1", ABSENT), on("w2", state), spec={"residency": {"policy": policy}})
    assert ready(status)[:2] == ("True", reason)
    assert "session" in ready(status)[2]


REFUSAL = Refusal(reason="DuplicateModelId", message="modelId joe belongs to VoiceModel a")
UNAVAILABLE = Refusal(reason="FamilyNotAvailable", message="available families: mock, piper")


@pytest.mark.parametrize(
    ("arguments", "reason", "words"),
    [
        ({"refusal": REFUSAL}, "DuplicateModelId", REFUSAL.message),
        ({"refusal": REFUSAL, "pools": 0, "too_small": 1}, "DuplicateModelId", REFUSAL.message),
        ({"refusal": REFUSAL, "unavailable": UNAVAILABLE}, "DuplicateModelId", REFUSAL.message),
        ({"pools": 0, "too_small": 1}, "TooLarge", "memoryBudget"),
        ({"pools": 0}, "NoPool", "spec.poolSelector"),
        ({"pools": 1, "unavailable": UNAVAILABLE}, "FamilyNotAvailable", UNAVAILABLE.message),
        ({"pools": 2}, "NoWorker", "2 matching"),
        ({"pools": 2, "too_small": 1}, "NoWorker", "2 matching"),
    ],
)
def test_without_a_worker_it_is_not_ready(arguments: dict[str, Any], reason: str, words: str) -> None:
    status = status_of(spec={"memory": "2Gi"}, **arguments)
    assert ready(status)[:2] == ("False", reason)
    assert words in ready(status)[2]
    assert status["workers"] == []
    assert condition(status, "Fetched")["status"] == "False"


def test_only_what_is_refused_is_not_accepted() -> None:
    accepted = condition(status_of(on("w1", None)), "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("True", "Accepted", "")
    refused = condition(status_of(refusal=REFUSAL), "Accepted")
    assert (refused["status"], refused["reason"], refused["message"]) == ("False", REFUSAL.reason, REFUSAL.message)


@pytest.mark.parametrize(
    ("instances", "status", "message"),
    [
        ([on("w1"), on("w2", LOADING), on("w3", WARMING)], "True", ""),
        ([on("w1"), on("w2", FETCHING)], "False", "fetched on 1 of 2 workers"),
        ([on("w1", current=False)], "False", "fetched on 0 of 1 worker"),
        ([on("w1", ABSENT)], "False", "fetched on 0 of 1 worker"),
        ([on("w1", None)], "False", "fetched on 0 of 1 worker"),
        ([], "False", "fetched on 0 of 0 workers"),
    ],
)
def test_fetched_is_true_when_all_workers_have_the_declared_pack(
    instances: list[ModelInstance], status: str, message: str
) -> None:
    found = condition(status_of(*instances), "Fetched")
    assert (found["status"], found["message"]) == (status, message)
    assert found["reason"] == ("Fetched" if status == "True" else "NotFetched")


def test_fetched_tells_how_far_the_fetches_are() -> None:
    progress: dict[str, Any] = {
        "fetched_bytes": 1_500_000_000,
        "fetch_bytes": 5_000_000_000,
        "fetch_bytes_per_s": 24_600_000,
    }
    status = status_of(on("w1"), on("w2", FETCHING, **progress), on("w3", ABSENT, **progress))
    found = condition(status, "Fetched")
    assert (found["status"], found["reason"]) == ("False", "Fetching")
    assert "fetched on 1 of 3 workers, fetching on 2: 3000 of 10000 MB, 49.2 MB/s" in found["message"]
    entry = status["workers"][1]
    assert (entry["fetchedBytes"], entry["fetchBytes"], entry["fetchBytesPerSecond"]) == tuple(progress.values())
    assert "fetchBytes" not in status["workers"][0]


def test_what_was_prefetched_is_fetched_and_a_failure_is_reported() -> None:
    assert condition(status_of(on("w1", ABSENT, prefetched=True)), "Fetched")["status"] == "True"
    found = condition(status_of(on("w1", ABSENT, reason="PrefetchFailed", message="no such bucket")), "Fetched")
    assert (found["status"], found["reason"]) == ("False", "PrefetchFailed")
    assert "w1: no such bucket" in found["message"]


def test_an_unavailable_family_degrades_it_unless_it_is_refused_anyway() -> None:
    degraded = condition(status_of(unavailable=UNAVAILABLE), "Degraded")
    assert (degraded["status"], degraded["reason"], degraded["message"]) == (
        "True",
        UNAVAILABLE.reason,
        UNAVAILABLE.message,
    )
    assert condition(status_of(unavailable=UNAVAILABLE, refusal=REFUSAL), "Degraded")["status"] == "False"


def test_degraded_names_every_worker_that_fails() -> None:
    refused = on("w3", None, refusal=("NoRoom", "the cap of 3 is reached"))
    found = condition(status_of(on("w1"), BROKEN, refused), "Degraded")
    assert (found["status"], found["reason"]) == ("True", "DigestMismatch")
    assert found["message"] == "w2: the digest differs; w3: the cap of 3 is reached"
    assert condition(status_of(on("w1"), BROKEN), "Degraded")["message"] == "w2: the digest differs"
    sound = condition(status_of(on("w1"), on("w2", LOADING), on("w3", DRAINING)), "Degraded")
    assert (sound["status"], sound["reason"]) == ("False", "AsExpected")


def test_a_refused_call_overrides_the_workers_report() -> None:
    instances = on("w1", FAILED, reason="DigestMismatch", message="old", refusal=("NoRoom", "new"))
    assert ready(status_of(instances)) == ("False", "NoRoom", "w1: new")


def test_each_worker_has_a_row_sorted_by_name() -> None:
    instances = [
        on("w3", None),
        on("w1", sha256="ab", references=2),
        on("w2", FAILED, reason="x" * 500, message="y" * 5000),
        on("w4", DRAINING, reason="UnloadRequested", message="not found"),
        on("w5", FAILED),
    ]
    status = status_of(*instances)
    assert status["workers"] == [
        {"worker": "w1", "pool": "p", "state": "resident", "references": 2, "sha256": "ab"},
        {
            "worker": "w2",
            "pool": "p",
            "state": "failed",
            "references": 0,
            "reason": "x" * 128,
            "message": "y" * MAX_TEXT_CHARS,
        },
        {"worker": "w3", "pool": "p", "state": "absent", "references": 0},
        {"worker": "w4", "pool": "p", "state": "draining", "references": 0, "reason": "UnloadRequested"},
        {"worker": "w5", "pool": "p", "state": "failed", "references": 0, "reason": "LoadFailed", "message": ""},
    ]


def test_it_counts_workers_and_sessions() -> None:
    instances = [on("w1", references=2), on("w2", references=3, usable=False), on("w3", LOADING), on("w4", None)]
    status = status_of(*instances, spec={"modelId": "voice"})
    assert (status["desired"], status["resident"], status["residency"]) == (4, 2, "2/4")
    assert status["sessions"] == 5
    assert (status["modelId"], status["observedGeneration"]) == ("voice", 3)
    assert [each["type"] for each in status["conditions"]] == ["Accepted", "Ready", "Fetched", "Degraded"]
    assert {each["observedGeneration"] for each in status["conditions"]} == {3}


def test_last_used_is_the_latest_and_expires_at_the_first() -> None:
    times = [Timestamp(seconds=100, nanos=1), Timestamp(seconds=260), Timestamp(seconds=100)]
    instances = [on(f"w{number}", last_used=time, expires_at=time) for number, time in enumerate(times)]
    status = status_of(*instances, on("never"))
    assert status["lastUsed"] == "1970-01-01T00:04:20Z"
    assert status["expiresAt"] == "1970-01-01T00:01:40Z"
    assert not {"lastUsed", "expiresAt"} & status_of(on("never"), on("unknown", None)).keys()


def test_an_unchanged_condition_keeps_its_transition_time() -> None:
    standing = [{"type": "Ready", "status": "True", "lastTransitionTime": EARLIER}]
    assert condition(status_of(on("w1"), before=standing), "Ready")["lastTransitionTime"] == EARLIER
    assert condition(status_of(on("w1", LOADING), before=standing), "Ready")["lastTransitionTime"] == NOW
