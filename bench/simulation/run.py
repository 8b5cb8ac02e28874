"""One run: sessions come, are routed by what is known, and go; workers load models, die and come back."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_common.errors import VoiceplaneError

from bench.simulation.costs import queue
from bench.simulation.knowledge import Knowledge
from bench.simulation.policies import route
from bench.simulation.scenarios import fleet, held_at_start, popularity

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.simulation.policies import Policy
    from bench.simulation.scenarios import Scenario
    from bench.simulation.workers import Worker

# A session goes on trying for as long as `routing.recovery_timeout_ms`; here each attempt finds another worker at once.
MAX_ATTEMPTS = 8
# How long until a stream tells that its worker has died.
NOTICED_S = 0.3
LOOK_EVERY_S = 5.0
# What happens before this share of the run is the filling of an empty cluster.
WARM_UP = 0.3


@dataclass(slots=True)
class Outcome:
    """What has come of a run; waits and utilizations are of the time after the warm-up.

    Attributes:
        routed: Sessions that a worker has taken, again after a worker's death, too.
        refused: Sessions for which no worker had room.
        retried: Attempts that met a worker which was full or dead.
        fallback: Sessions that began with another model than the wanted one.
        load_waits_s: Of the sessions that had to wait for a load.
        rerouted: Sessions whose worker died.
        loads: Models that were loaded.
        queueing_ms: Of each session's first step.
        utilizations: Of each worker's compute, each time that we looked.
        views: Times that a worker told of itself.
    """

    routed: int = 0
    refused: int = 0
    retried: int = 0
    fallback: int = 0
    load_waits_s: list[float] = field(default_factory=list)
    rerouted: int = 0
    loads: int = 0
    queueing_ms: list[float] = field(default_factory=list)
    utilizations: list[float] = field(default_factory=list)
    views: int = 0

    @property
    def queueing_p95_ms(self) -> float:
        """Of the first step."""
        return float(np.percentile(self.queueing_ms, 95)) if self.queueing_ms else 0.0

    @property
    def imbalance(self) -> float:
        """How much busier than the mean worker the busiest hundredth is: 1 is even."""
        mean = float(np.mean(self.utilizations)) if self.utilizations else 0.0
        return float(np.percentile(self.utilizations, 99)) / mean if mean else 1.0


@dataclass(slots=True, eq=False)
class Session:
    """One that is open, or waits to be routed again."""

    number: int
    pool: int
    model_id: str
    ends_s: float
    worker: Worker | None = None
    speaks: str = ""


class Simulation:
    """A run under way. The same seed gives the same outcome."""

    def __init__(self, scenario: Scenario, *, policy: Policy, seed: int) -> None:
        # What comes is the same for each policy; what chance adds while they are served has a generator of its own.
        self._comes, self._chance = (np.random.default_rng([seed, stream]) for stream in range(2))
        self._scenario = scenario
        self._policy: Policy = policy
        self._pools = fleet(scenario, self._comes)
        self._known = Knowledge(
            [[worker.view(queue_depth=0) for worker in workers] for workers in self._pools],
            orchestrators=scenario.orchestrators,
            delay_s=scenario.view_delay_s,
        )
        self._places = {
            worker.address: (pool, number)
            for pool, workers in enumerate(self._pools)
            for number, worker in enumerate(workers)
        }
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._open: dict[Worker, dict[int, Session]] = {worker: {} for workers in self._pools for worker in workers}
        self._now_s = 0.0
        self._length_s = scenario.sessions / scenario.arrivals_per_s
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """To the last arrival."""
        scenario = self._scenario
        gaps_s = self._comes.exponential(1 / scenario.arrivals_per_s, scenario.sessions)
        lengths_s = self._comes.exponential(scenario.session_s, scenario.sessions)
        models = self._comes.choice(
            scenario.models, scenario.sessions, p=popularity(scenario.models, skew=scenario.skew)
        )
        if scenario.dying_share:
            self._at(self._length_s * (1 + WARM_UP) / 2, self._die)
        self._at(self._length_s * WARM_UP, self._look)
        for number, arrives_s in enumerate(np.cumsum(gaps_s).tolist()):
            self._advance(arrives_s)
            model = int(models[number])
            ends_s = arrives_s + float(lengths_s[number])
            self._place(Session(number, model % scenario.pools, f"model-{model}", ends_s))
        return self.outcome

    def _at(self, due_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (due_s, next(self._order), happen))

    def _advance(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
        self._now_s = until_s

    def _tell(self, worker: Worker) -> None:
        """Orchestrators will know it later."""
        costs = self._scenario.costs
        under_way = int(self._chance.binomial(worker.sessions, costs.talk_share * costs.under_way_share))
        view = worker.view(queue_depth=under_way)
        self._known.tell(self._places[worker.address], view, now_s=self._now_s)
        self.outcome.views += 1

    @property
    def _warm(self) -> bool:
        return self._now_s >= self._length_s * WARM_UP

    def _place(self, session: Session) -> None:
        self._known.hear(self._now_s)
        avoid: set[str] = set()
        for _ in range(MAX_ATTEMPTS):
            try:
                choice = route(
                    self._known.seen_by(self._orchestrator(session)),
                    session.pool,
                    session.model_id,
                    key=str(session.number),
                    policy=self._policy,
                    avoid=avoid,
                    chance=self._chance,
                )
            except VoiceplaneError:
                break
            if choice.load_on:
                self._load(self._worker(choice.load_on), choice.load_model_id)
            if self._begin(session, self._worker(choice.address), choice.model_id):
                self.outcome.fallback += choice.fallback
                return
            self.outcome.retried += 1
            avoid.add(choice.address)
        self.outcome.refused += 1

    def _begin(self, session: Session, worker: Worker, model_id: str) -> bool:
        if not worker.has_room():
            return False
        wait_s = 0.0
        if model_id not in worker.resident:
            ready_s = self._load(worker, model_id)
            if ready_s is None:
                return False
            wait_s = ready_s - self._now_s
            if self._warm:
                self.outcome.load_waits_s.append(wait_s)
        worker.begin(model_id)
        session.worker, session.speaks = worker, model_id
        self._open[worker][session.number] = session
        self._at(max(session.ends_s, self._now_s + wait_s), lambda: self._end(session, worker))
        self._tell(worker)
        self._known.begun(str(session.number), self._places[worker.address], orchestrator=self._orchestrator(session))
        self.outcome.routed += 1
        if self._warm:
            self.outcome.queueing_ms.append(self._queueing_ms(worker))
        return True

    def _queueing_ms(self, worker: Worker) -> float:
        found = queue(worker.sessions - 1, speed=worker.speed, costs=worker.costs)
        if self._chance.random() >= found.waits:
            return 0.0
        return float(self._chance.exponential(found.mean_wait_ms))

    def _end(self, session: Session, worker: Worker) -> None:
        if session.worker is not worker:  # it has died since
            return
        worker.end(session.speaks)
        del self._open[worker][session.number]
        self._known.ended(str(session.number), self._places[worker.address], orchestrator=self._orchestrator(session))
        self._tell(worker)

    def _load(self, worker: Worker, model_id: str) -> float | None:
        begun = model_id in worker.loading or model_id in worker.resident
        ready_s = worker.load(model_id, self._now_s) if worker.alive else None
        if ready_s is not None and not begun:
            self.outcome.loads += 1
            self._tell(worker)
            self._at(ready_s, lambda: self._loaded(worker, model_id))
        return ready_s

    def _loaded(self, worker: Worker, model_id: str) -> None:
        worker.loaded(model_id)
        self._tell(worker)

    def _die(self) -> None:
        workers = list(self._open)
        count = round(self._scenario.dying_share * len(workers))
        for index in self._comes.choice(len(workers), count, replace=False):
            worker = workers[int(index)]
            lost = list(self._open[worker].values())
            self._open[worker].clear()
            worker.die()
            self._tell(worker)
            self._at(self._now_s + self._scenario.dead_s, lambda worker=worker: self._rise(worker))  # type: ignore[misc]
            for session, after_s in zip(lost, self._chance.uniform(0, NOTICED_S, len(lost)), strict=True):
                session.worker = None
                self.outcome.rerouted += 1
                self._at(self._now_s + float(after_s), lambda session=session: self._place(session))  # type: ignore[misc]

    def _rise(self, worker: Worker) -> None:
        worker.rise(held_at_start(list(worker.known), self._places[worker.address][1]))
        self._tell(worker)

    def _look(self) -> None:
        self.outcome.utilizations += [worker.utilization for worker in self._open if worker.alive]
        self._at(self._now_s + LOOK_EVERY_S, self._look)

    def _orchestrator(self, session: Session) -> int:
        return session.number % self._scenario.orchestrators

    def _worker(self, address: str) -> Worker:
        pool, number = self._places[address]
        return self._pools[pool][number]


def simulate(run: tuple[Scenario, Policy], *, seed: int) -> Outcome:
    """Run a scenario with a policy."""
    scenario, policy = run
    return Simulation(scenario, policy=policy, seed=seed).run()
