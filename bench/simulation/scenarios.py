"""What is simulated: how many workers of which pools with which models, and which faults occur."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.simulation.costs import Costs
from bench.simulation.workers import MAX_SESSIONS, Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_AT_START = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run's conditions.

    Attributes:
        name: As in the tables.
        workers: In all pools.
        sessions: That come, one after the other at random.
        pools: Each has models of its own.
        models: In all pools.
        skew: Zipf's exponent of the models' popularity; 0: all alike.
        sized: Pools are as large as what is asked of them, as autoscaling makes them; otherwise all alike.
        load: Sessions that are open at once, over what all workers take.
        session_s: Mean length of a session.
        view_delay_s: The age of the orchestrators' views.
        orchestrators: Each gets as many of the sessions, and knows at once where it has sent its own.
        slow_share: Workers with a processor of half the speed.
        dying_share: Workers that die at once in the middle of the run.
        dead_s: How long those are away.
        costs: Of a session.
    """

    name: str
    workers: int = 1000
    sessions: int = 100_000
    pools: int = 20
    models: int = 200
    skew: float = 0.0
    sized: bool = True
    load: float = 0.65
    session_s: float = 120.0
    view_delay_s: float = 0.025
    orchestrators: int = 10
    slow_share: float = 0.0
    dying_share: float = 0.0
    dead_s: float = 60.0
    costs: Costs = field(default_factory=Costs)

    @property
    def arrivals_per_s(self) -> float:
        """So that the load is what it is to be."""
        return self.load * self.workers * MAX_SESSIONS / self.session_s


def popularity(models: int, *, skew: float) -> NDArray[np.float64]:
    """The share of sessions that wants each model."""
    weights = np.arange(1, models + 1, dtype=np.float64) ** -skew
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def pool_sizes(shares: NDArray[np.float64], *, pools: int, workers: int, sized: bool) -> list[int]:
    """Workers of each pool, two at least; model number n is of the pool n % pools."""
    wanted = np.array([shares[number::pools].sum() if sized else 1 / pools for number in range(pools)])
    exact = wanted * (workers - 2 * pools)
    sizes = np.floor(exact).astype(int) + 2
    for number in np.argsort(np.floor(exact) - exact, kind="stable")[: workers - int(sizes.sum())]:
        sizes[number] += 1
    return [int(size) for size in sizes]


def held_at_start(known: list[str], number: int) -> list[str]:
    """The models that a pool's worker begins with: each model is on as many workers as any other."""
    return [known[(number * HELD_AT_START + offset) % len(known)] for offset in range(min(HELD_AT_START, len(known)))]


def fleet(scenario: Scenario, chooser: np.random.Generator) -> list[list[Worker]]:
    """The workers of each pool."""
    shares = popularity(scenario.models, skew=scenario.skew)
    sizes = pool_sizes(shares, pools=scenario.pools, workers=scenario.workers, sized=scenario.sized)
    pools = []
    for pool, size in enumerate(sizes):
        known = [f"model-{number}" for number in range(pool, scenario.models, scenario.pools)]
        workers = [
            Worker(
                address=f"10.{pool}.{number // 250}.{number % 250}:50051",
                known=known,
                costs=scenario.costs,
                speed=0.5 if chooser.random() < scenario.slow_share else 1.0,
                resident=dict.fromkeys(held_at_start(known, number)),
            )
            for number in range(size)
        ]
        pools.append(workers)
    return pools


# A clause at a time, as it does not stream.
KOKORO = Costs(step_ms=500.0, audio_share=0.38, under_way_share=0.7, first_audio_ms=600.0)
BASE = Scenario(name="fresh views")
VIEW_DELAYS_S = (0.025, 0.25, 1.0, 2.0, 5.0)
SCENARIOS = (
    BASE,
    *(Scenario(name=f"views {delay_s:g} s old", view_delay_s=delay_s) for delay_s in VIEW_DELAYS_S[1:]),
    Scenario(name="views 2 s old, one orchestrator", view_delay_s=2.0, orchestrators=1),
    Scenario(name="views 5 s old, one orchestrator", view_delay_s=5.0, orchestrators=1),
    Scenario(name="half of the processors at half speed", slow_share=0.5),
    Scenario(name="nearly full", load=0.9),
    Scenario(name="Kokoro at half load", load=0.5, costs=KOKORO),
    Scenario(name="a tenth of the workers die", dying_share=0.1),
    Scenario(name="a tenth die, views 2 s old", dying_share=0.1, view_delay_s=2.0),
    Scenario(name="skewed models, pools sized to them", skew=1.0),
    Scenario(name="skewed models, equal pools", skew=1.0, sized=False),
)
