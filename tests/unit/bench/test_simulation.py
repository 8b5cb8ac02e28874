"""The parts of the simulation: its queue, its workers, its routing, its traffic, its plots, and that a seed decides."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.routing.score import RoutingDecision, choose
from voiceplane_orchestrator.routing.voice_request import VoiceRequest
from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView

from bench.simulation.costs import Costs, queue
from bench.simulation.knowledge import Knowledge
from bench.simulation.plots import Axis, lines
from bench.simulation.policies import POLICIES, Policy, route
from bench.simulation.run import Outcome, simulate
from bench.simulation.scenarios import BASE, Scenario, held_at_start, pool_sizes, popularity
from bench.simulation.traffic import Cluster
from bench.simulation.workers import Worker

COSTS = Costs()
SMALL = replace(BASE, workers=40, sessions=1500, pools=4, models=20)


def worker(*resident: str, resident_cap: int = 3) -> Worker:
    return Worker(
        address="a:1", known=["a", "b", "c"], costs=COSTS, resident=dict.fromkeys(resident), resident_cap=resident_cap
    )


# ------------------------------------------------------------ the queue


def test_a_step_waits_as_the_textbook_says() -> None:
    """M/M/2 at one Erlang: a third of the steps wait, for the length of one step."""
    one_erlang = Costs(threads=2, step_ms=40.0, audio_share=0.25, talk_share=0.4)
    found = queue(10, speed=1.0, costs=one_erlang)
    assert found.utilization == pytest.approx(0.5)
    assert found.waits == pytest.approx(1 / 3)
    assert found.mean_wait_ms == pytest.approx(40.0)


def test_an_idle_worker_has_no_queue_and_an_overloaded_one_a_bounded_one() -> None:
    assert queue(0, speed=1.0, costs=COSTS).mean_ms == 0
    assert queue(1000, speed=1.0, costs=COSTS).mean_ms == 5000


@given(sessions=st.integers(0, 60))
def test_more_sessions_never_wait_less(sessions: int) -> None:
    assert queue(sessions + 1, speed=1.0, costs=COSTS).mean_ms >= queue(sessions, speed=1.0, costs=COSTS).mean_ms


# ------------------------------------------------------------ a worker


def test_a_load_takes_the_place_of_the_model_that_was_used_longest_ago() -> None:
    full = worker("a", "b", resident_cap=2)
    full.begin("a")
    full.end("a")
    assert full.load("c", 10.0) == pytest.approx(10.0 + COSTS.load_s)
    assert list(full.resident) == ["a"]
    full.loaded("c")
    assert list(full.resident) == ["a", "c"]


def test_a_model_that_speaks_is_not_put_out() -> None:
    full = worker("a", resident_cap=1)
    full.begin("a")
    assert full.load("b", 0.0) is None
    assert list(full.resident) == ["a"]


def test_loads_follow_each_other() -> None:
    free = worker()
    free.load("a", 0.0)
    assert free.load("b", 0.0) == pytest.approx(2 * COSTS.load_s)
    assert free.load("a", 0.5) == pytest.approx(COSTS.load_s)


def test_a_load_that_death_has_cut_short_leaves_nothing() -> None:
    free = worker()
    free.load("a", 0.0)
    free.die()
    free.loaded("a")
    assert not free.resident
    assert not free.view(queue_depth=0).connected


def test_a_view_says_what_a_worker_holds() -> None:
    busy = worker("a")
    busy.begin("a")
    busy.load("b", 0.0)
    view = busy.view(queue_depth=1)
    assert [model.state for model in view.models] == ["resident", "loading", "absent"]
    assert (view.sessions, view.queue_depth) == (1, 1)


# ------------------------------------------------------------ what is simulated


@given(
    skew=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    pools=st.integers(1, 20),
    more=st.integers(0, 300),
    sized=st.booleans(),
)
def test_all_workers_are_in_pools(skew: float, pools: int, more: int, sized: bool) -> None:
    sizes = pool_sizes(popularity(40, skew=skew), pools=pools, workers=2 * pools + more, sized=sized)
    assert sum(sizes) == 2 * pools + more
    assert min(sizes) >= 2


def test_what_is_asked_for_more_has_more_workers_only_where_pools_are_sized() -> None:
    shares = popularity(40, skew=1.0)
    assert pool_sizes(shares, pools=4, workers=100, sized=False) == [25, 25, 25, 25]
    sized = pool_sizes(shares, pools=4, workers=100, sized=True)
    assert sized == sorted(sized, reverse=True)
    assert sized[0] > 2 * sized[-1]


def test_models_are_spread_evenly_at_the_start() -> None:
    known = [f"m{number}" for number in range(10)]
    held = [model for number in range(10) for model in held_at_start(known, number)]
    assert {held.count(model) for model in known} == {3}


# ------------------------------------------------------------ routing


VIEWS = st.lists(
    st.builds(
        WorkerView,
        address=st.uuids().map(str),
        connected=st.booleans(),
        max_sessions=st.just(4),
        sessions=st.integers(0, 4),
        models=st.sampled_from(["resident", "absent"]).map(
            lambda state: (ModelView(model_id="mine", family="f", state=state),)
        ),
    ),
    max_size=6,
)
OTHERS = st.lists(
    st.builds(
        WorkerView,
        address=st.uuids().map(str),
        connected=st.booleans(),
        max_sessions=st.just(4),
        sessions=st.integers(0, 4),
        models=st.just((ModelView(model_id="other", family="f", state="resident"),)),
    ),
    max_size=6,
)


@given(mine=VIEWS, others=OTHERS, policy=st.sampled_from(["balanced", "least_loaded"]))
def test_to_ask_the_pool_first_changes_no_choice(
    mine: list[WorkerView], others: list[WorkerView], policy: Policy
) -> None:
    def outcome(routed: bool) -> RoutingDecision | None:
        chance = np.random.default_rng(1)
        try:
            if routed:
                return route([mine, others], 0, "mine", key="k", policy=policy, avoid=(), chance=chance)
            assert policy != "random"
            return choose([*mine, *others], VoiceRequest(model_id="mine"), session_key="k", policy=policy)
        except VoiceplaneError:
            return None

    assert outcome(routed=True) == outcome(routed=False)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_seed_decides_everything(policy: Policy) -> None:
    def run(seed: int) -> Outcome:
        return simulate((SMALL, policy), seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_session_is_routed_or_refused(policy: Policy) -> None:
    crowded = replace(SMALL, load=1.5, dying_share=0.2, view_delay_s=1.0, skew=1.0)
    outcome = simulate((crowded, policy), seed=1)
    # A session that had ended, or whose worker died last, may still wait for its new place.
    assert 0 <= crowded.sessions + outcome.rerouted - outcome.routed - outcome.refused <= outcome.rerouted
    assert outcome.refused > 0
    assert outcome.rerouted > 0


def test_to_look_at_the_load_is_better_than_chance() -> None:
    spread = {policy: simulate((SMALL, policy), seed=1).imbalance for policy in POLICIES}
    assert spread["least_loaded"] < spread["random"]
    assert spread["balanced"] < spread["random"]


def test_old_views_make_sessions_meet_full_workers() -> None:
    def retried(scenario: Scenario) -> int:
        return simulate((scenario, "balanced"), seed=1).retried

    assert retried(replace(SMALL, view_delay_s=10.0)) > retried(SMALL)


def test_who_knows_where_sessions_were_sent_meets_no_full_worker() -> None:
    """A view only lacks what others have sent: one orchestrator knows of all, and of ends later than they are."""

    def retried(orchestrators: int) -> int:
        scenario = replace(SMALL, view_delay_s=10.0, orchestrators=orchestrators)
        return simulate((scenario, "balanced"), seed=1).retried

    assert retried(1) == 0 < retried(10)


# ------------------------------------------------------------ what orchestrators know


def test_a_placement_counts_for_whoever_made_it_until_the_snapshot_of_it_is_heard() -> None:
    def sessions(orchestrator: int) -> int:
        return known.seen_by(orchestrator)[0][0].sessions

    known = Knowledge([[WorkerView(address="a", connected=True)]], orchestrators=2, delay_s=1.0)
    known.tell((0, 0), WorkerView(address="a", connected=True, sessions=1), now_s=0.0)
    known.begun("s", (0, 0), orchestrator=0)
    assert (sessions(0), sessions(1)) == (1, 0)
    known.hear(1.0)
    assert (sessions(0), sessions(1)) == (1, 1)


@pytest.mark.parametrize("how", ["ended", "died"])
def test_a_placement_that_is_over_counts_no_longer(how: str) -> None:
    known = Knowledge([[WorkerView(address="a", connected=True)]], orchestrators=1, delay_s=1.0)
    known.tell((0, 0), WorkerView(address="a", connected=False), now_s=0.0)
    known.tell((0, 0), WorkerView(address="a", connected=True, sessions=1), now_s=2.0)
    known.begun("s", (0, 0), orchestrator=0)
    assert known.seen_by(0)[0][0].sessions == 1
    if how == "ended":
        known.ended("s", (0, 0), orchestrator=0)
    else:
        known.hear(1.0)
    assert known.seen_by(0)[0][0].sessions == 0


# ------------------------------------------------------------ traffic and plots


def test_streams_grow_with_workers_and_orchestrators() -> None:
    assert Cluster(workers=1000, orchestrators=10).streams == 11_000
    assert Cluster(workers=1000, heartbeat_ms=500).heartbeats_s == 2000


def test_a_worker_tells_of_itself_fifty_times_a_second_at_most() -> None:
    assert Cluster(sessions=1e6).snapshots_per_worker_s == pytest.approx(50, rel=0.01)
    assert Cluster(sessions=10.0, session_s=100.0, talk_share=0.0).snapshots_per_worker_s == pytest.approx(
        0.2, rel=0.01
    )


def test_a_plot_is_well_formed_and_within_its_frame() -> None:
    points = [(10.0, 3.0), (1000.0, 70.0)]
    x = Axis(name="x < y", values=[10, 1000], log=True)
    root = ET.fromstring(lines("a & b", x=x, y=Axis(name="ms", values=[3, 70]), series={"one": points}))  # noqa: S314
    drawn = [element for element in root.iter() if element.tag.endswith("polyline")]
    assert [element.attrib["points"] for element in drawn] == ["62.0,245.8 410.0,61.5"]


@given(most=st.floats(1e-3, 1e6))
def test_marks_span_what_is_drawn(most: float) -> None:
    marks = Axis(name="", values=[most]).marks()
    assert marks[0] == 0
    assert marks[-1] >= most * (1 - 1e-6)
    assert len(marks) <= 7
