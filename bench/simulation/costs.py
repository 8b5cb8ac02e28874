"""What a session costs a worker, and how long its first step waits there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Figures of one Piper worker, from docs/explanation/performance.md.

    Attributes:
        threads: Steps that a worker computes at the same time.
        step_ms: One step: about half a second of audio.
        audio_share: Processor time of synthesis over the audio's length.
        talk_share: How much of a session the agent speaks; a guess, as conversations differ.
        under_way_share: How much of an utterance's length its synthesis is under way; the rest lies in the buffer.
        first_audio_ms: With nothing else to do.
        load_s: A model from its cached pack to resident.
    """

    threads: int = 2
    step_ms: float = 40.0
    audio_share: float = 0.08
    talk_share: float = 0.4
    under_way_share: float = 0.5
    first_audio_ms: float = 36.0
    load_s: float = 1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A worker's compute at some load.

    Attributes:
        utilization: Of its threads; above 1 it does not keep up.
        waits: The probability that a step waits.
        mean_wait_ms: Of a step that waits.
    """

    utilization: float
    waits: float
    mean_wait_ms: float

    @property
    def mean_ms(self) -> float:
        """Of all steps."""
        return self.waits * self.mean_wait_ms


# Who does not keep up is heard to stutter; the wait that such a queue would grow to is cut here.
LONGEST_WAIT_MS = 5_000.0


@cache
def queue(sessions: int, *, speed: float, costs: Costs) -> Queue:
    """The queue of a worker with so many sessions, as M/M/c (Erlang C).

    First come, first served: an upper bound, as our first steps go before later ones.

    Args:
        sessions: Open on it.
        speed: Of its processor, 1 for the one that was measured.
        costs: Of a session.
    """
    work = sessions * costs.talk_share * costs.audio_share / speed
    utilization = work / costs.threads
    if utilization >= 1:
        return Queue(utilization=utilization, waits=1.0, mean_wait_ms=LONGEST_WAIT_MS)
    terms = [work**number / math.factorial(number) for number in range(costs.threads)]
    full = work**costs.threads / math.factorial(costs.threads) / (1 - utilization)
    mean_ms = costs.step_ms / speed / (costs.threads * (1 - utilization))
    return Queue(utilization=utilization, waits=full / (sum(terms) + full), mean_wait_ms=min(mean_ms, LONGEST_WAIT_MS))
