"""What stands in the Redis: workers' records, and invalid entries."""

from __future__ import annotations

import json

import pytest
from voiceplane_common.worker_registry.records import RegistryKeys, WorkerRecord, read

NOW_MS = 1_700_000_000_000
ADDRESS = "10.0.0.5:50051"
RECORD = WorkerRecord(worker_id="w1", lease_ms=2000).model_dump_json()


def test_a_lease_lasts_until_its_end_on_redis_clock() -> None:
    for left_ms, there in ((1, True), (0, False), (-5, False)):
        found = read(now_ms=NOW_MS, incarnation="i", workers={ADDRESS: RECORD}, ends_ms={ADDRESS: NOW_MS + left_ms})
        assert (ADDRESS in found.leases) is there
        assert not found.unreadable


def test_no_more_is_left_of_a_lease_than_its_length_though_redis_clock_went_back() -> None:
    found = read(now_ms=NOW_MS, incarnation="i", workers={ADDRESS: RECORD}, ends_ms={ADDRESS: NOW_MS + 3_600_000})
    assert found.leases[ADDRESS].left_ms == 2000


def test_fields_of_a_newer_version_are_passed_over() -> None:
    text = json.dumps(json.loads(RECORD) | {"zone": "b"})
    assert read(now_ms=0, incarnation="", workers={ADDRESS: text}, ends_ms={ADDRESS: 1}).leases


@pytest.mark.parametrize(
    ("address", "text", "problem"),
    [
        (ADDRESS, "hello", "Invalid JSON"),
        (ADDRESS, "[]", "should be an object"),
        (ADDRESS, json.dumps({"worker_id": "w1"}), "lease_ms: Field required"),
        (ADDRESS, json.dumps({"worker_id": "w 1\n", "lease_ms": 2000}), "worker_id: String should match"),
        (ADDRESS, json.dumps({"worker_id": "w1", "lease_ms": 10**9}), "lease_ms: Input should be less"),
        (ADDRESS, json.dumps({"version": 2, "worker_id": "w1", "lease_ms": 2000}), "version: Input should be 1"),
        ("nowhere", RECORD, "its address must be host:port"),
        ("host:99999", RECORD, "its address must be host:port"),
    ],
)
def test_an_invalid_record_is_reported_and_skipped(address: str, text: str, problem: str) -> None:
    workers, ends_ms = {address: text, "10.0.0.6:50051": RECORD}, {address: 2000, "10.0.0.6:50051": 2000}
    found = read(now_ms=0, incarnation="i", workers=workers, ends_ms=ends_ms)
    assert list(found.leases) == ["10.0.0.6:50051"]
    assert problem in found.unreadable[address]


def test_a_record_without_a_lease_is_reported() -> None:
    found = read(now_ms=0, incarnation="i", workers={ADDRESS: RECORD}, ends_ms={})
    assert found.unreadable == {ADDRESS: "it has no lease"}


def test_keys_carry_the_prefix_and_the_version() -> None:
    names = RegistryKeys.below("speech")
    assert (names.workers, names.changes) == ("speech:v1:workers", "speech:v1:changes")
