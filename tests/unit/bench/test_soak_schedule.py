"""What goes wrong in a soak is a function of its seed."""

from __future__ import annotations

import itertools

import pytest

from bench.soak.schedule import DECK, MAX_DOWN_S, Mishap, Server, mishaps

WORKERS = ("piper-1", "mock-2")


def planned(*, seed: int = 1, seconds: float = 600.0, servers: tuple[Server, ...] = ()) -> tuple[Mishap, ...]:
    return mishaps(seed=seed, seconds=seconds, every_s=20.0, workers=WORKERS, servers=servers)


def test_a_seed_always_gives_the_same_mishaps() -> None:
    assert planned(seed=7) == planned(seed=7)
    assert planned(seed=7) != planned(seed=8)


def test_a_longer_soak_begins_like_a_shorter_one() -> None:
    short, long = planned(seconds=200), planned(seconds=2000)
    assert long[: len(short)] == short
    assert len(long) > len(short)


def test_mishaps_come_in_order_within_the_time_and_about_as_often_as_asked_for() -> None:
    found = planned(seconds=20_000)
    times_s = [one.at_s for one in found]
    assert times_s == sorted(times_s)
    assert times_s[0] >= 10
    assert times_s[-1] < 20_000
    assert len(found) == pytest.approx(1000, rel=0.05)
    assert all(10 <= after - before <= 30 for before, after in itertools.pairwise(times_s))


def test_each_round_has_every_action_of_the_deck() -> None:
    found = planned(seconds=2000)
    for start in range(0, len(found) - len(DECK), len(DECK)):
        assert sorted(one.action for one in found[start : start + len(DECK)]) == sorted(DECK)


def test_only_workers_are_named_and_only_what_was_ended_stays_away() -> None:
    for one in planned(seconds=5000, servers=("livekit", "redis")):
        assert (one.target in WORKERS) == (one.action in {"kill", "drain"})
        assert (one.target == "") == (one.action not in {"kill", "drain"})
        assert 0 <= one.down_s <= MAX_DOWN_S
        assert one.action in {"kill", "drain", "livekit", "redis"} or one.down_s == 0


@pytest.mark.parametrize("server", ["livekit", "redis"])
def test_a_server_is_restarted_only_where_it_is(server: Server) -> None:
    other = {"livekit", "redis"} - {server}
    assert server in {one.action for one in planned(servers=(server,))}
    assert not other & {one.action for one in planned(seconds=20_000, servers=(server,))}
    assert server not in {one.action for one in planned(seconds=20_000)}


def test_without_workers_that_may_be_ended_there_are_mishaps_of_other_kinds() -> None:
    actions = {one.action for one in mishaps(seed=1, seconds=2000, every_s=20.0, workers=())}
    assert actions == {"load", "unload", "reload", "stuck"}
