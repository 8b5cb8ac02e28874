"""Which leases hold, by snapshots and a clock of the test's own."""

from __future__ import annotations

from voiceplane_common.worker_registry.records import Lease, Snapshot
from voiceplane_orchestrator.discovery.leases import REREGISTER_GRACE_S, LeaseTable

A, B = "10.0.0.5:50051", "10.0.0.6:50051"


def lease(address: str = A, *, worker_id: str = "w1", ends_ms: int = 102_000, left_ms: int = 2000) -> Lease:
    return Lease(address=address, worker_id=worker_id, lease_ms=2000, left_ms=left_ms, ends_ms=ends_ms)


def snapshot(*leases: Lease, incarnation: str = "first") -> Snapshot:
    return Snapshot(incarnation=incarnation, leases={each.address: each for each in leases}, unreadable={})


def told(leases: LeaseTable, now_s: float, *seen: Lease, incarnation: str = "first") -> list[tuple[str, str]]:
    return [change[:2] for change in leases.apply(snapshot(*seen, incarnation=incarnation), now_s)]


def test_a_worker_comes_stays_with_each_heartbeat_and_leaves_at_once() -> None:
    leases = LeaseTable()
    assert told(leases, 0.0, lease()) == [("registered", A)]
    assert told(leases, 1.5, lease(ends_ms=103_500)) == []
    assert told(leases, 3.0, lease(ends_ms=105_000)) == []
    assert leases.next_expiry_s == 5.0
    assert told(leases, 3.1) == [("left", A)]
    assert leases.addresses == frozenset()


def test_a_lease_without_a_heartbeat_ends_with_its_length() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    assert told(leases, 1.99, lease(left_ms=10)) == []
    assert told(leases, 2.0) == [("expired", A)]


def test_a_lease_ends_on_our_clock_though_redis_clock_stands_or_goes_back() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    assert told(leases, 1.0, lease()) == []
    assert told(leases, 2.0, lease()) == [("expired", A)]
    for now_s in (2.5, 60.0):
        assert told(leases, now_s, lease()) == [], "the same lease does not come back"
    assert told(leases, 61.0, lease(ends_ms=50_000)) == [("registered", A)], "a heartbeat brings it back"


def test_another_worker_at_the_address_is_reported_and_the_address_stays() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    assert told(leases, 0.5, lease(worker_id="w2", ends_ms=102_500)) == [("replaced", A)]
    assert leases.addresses == {A}


def test_while_redis_is_away_nothing_ends() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    leases.unreachable()
    assert told(leases, 600.0, lease(ends_ms=702_000)) == []
    assert leases.addresses == {A}


def test_after_redis_comes_back_empty_workers_have_the_time_to_register_again() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease(A), lease(B))
    leases.unreachable()
    assert told(leases, 10.0, incarnation="") == []
    assert told(leases, 10.6, lease(A, ends_ms=112_600), incarnation="second") == []
    assert leases.addresses == {A, B}
    assert told(leases, 10.6 + REREGISTER_GRACE_S - 0.1, lease(A, ends_ms=115_000), incarnation="second") == []
    assert told(leases, 10.6 + REREGISTER_GRACE_S, lease(A, ends_ms=115_500), incarnation="second") == [("expired", B)]


def test_data_that_are_lost_without_a_lost_connection_are_noticed() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    assert told(leases, 1.0, incarnation="") == []
    assert told(leases, 1.5, lease(ends_ms=103_500), incarnation="second") == []
    assert leases.addresses == {A}


def test_after_a_fail_over_to_a_server_whose_clock_is_ahead_workers_stay() -> None:
    leases = LeaseTable()
    told(leases, 0.0, lease())
    leases.unreachable()
    # Its copy of the lease counts as ended there, so it is not in the snapshot; a heartbeat follows.
    assert told(leases, 1.0) == []
    assert told(leases, 1.5, lease(ends_ms=99_000_000)) == []
    assert told(leases, 2.0, lease(ends_ms=99_000_500)) == []
