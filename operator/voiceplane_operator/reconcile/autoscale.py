"""How many workers a pool should have, by what its workers have to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_operator.specs.pool import Autoscaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the workers of a pool report together.

    Attributes:
        sessions: Of all of them.
        queue_depth: Utterances under way on all of them.
        complete: Whether each worker that is ready has reported; otherwise nothing is known to be too many.
        demanded: Whether a session has lately asked for a worker where there was none.
    """

    sessions: int
    queue_depth: int
    complete: bool
    demanded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A pool's size.

    Attributes:
        replicas: Workers that are wanted.
        too_many_since: When fewer began to be enough; None while they are not.
        due: When a scale-down falls due, in the same seconds; None if none does.
    """

    replicas: int
    too_many_since: float | None = None
    due: float | None = None


def autoscaled(spec: Autoscaling, load: Load, *, present: int, too_many_since: float | None, now: float) -> Scale:
    """The size that a pool should have now: more workers at once, fewer only after the delay.

    A pool without any worker has no load to judge by: it stays at minReplicas, or at one if a session asks for it.

    Args:
        spec: The limits and targets.
        load: What there is to do.
        present: Workers that were wanted so far.
        too_many_since: As the last call said.
        now: Seconds of a clock that never goes back.
    """
    least = max(spec.min_replicas, int(load.demanded))
    if present == 0:
        return Scale(replicas=least)
    # A person's limits hold at once; only what the load suggests waits.
    present = max(spec.min_replicas, min(spec.max_replicas, present))
    enough = max(
        _workers_for(load.sessions, spec.target_sessions_per_worker),
        _workers_for(load.queue_depth, spec.target_queue_depth),
    )
    enough = max(least, min(spec.max_replicas, enough))
    if enough >= present:
        return Scale(replicas=enough)
    if not load.complete:
        return Scale(replicas=present)
    since = now if too_many_since is None else too_many_since
    due = since + spec.scale_down_delay_seconds
    return Scale(replicas=enough) if now >= due else Scale(replicas=present, too_many_since=since, due=due)


def _workers_for(amount: int, target: int | None) -> int:
    return -(-amount // target) if target else 0
