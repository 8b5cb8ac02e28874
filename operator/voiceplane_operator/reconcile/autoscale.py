"""How many workers a pool should have, by the load of its workers. Pure."""

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
        queue_depth: Utterances in progress on all of them.
        complete: Whether each ready worker has reported. While one has not, the pool is not scaled down.
        demanded: Whether a session recently found no worker.
    """

    sessions: int
    queue_depth: int
    complete: bool
    demanded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A pool's size.

    Attributes:
        replicas: The desired number of workers.
        too_many_since: Since when fewer would be enough, in seconds of the caller's clock; None if they would not.
        due: When a scale-down falls due, in the same seconds; None if none is pending.
    """

    replicas: int
    too_many_since: float | None = None
    due: float | None = None


def autoscaled(spec: Autoscaling, load: Load, *, present: int, too_many_since: float | None, now: float) -> Scale:
    """The size that a pool should have now: it scales up at once, and down only after the delay.

    A pool without workers has no measured load: it stays at minReplicas, or at one worker if a session demands one.

    Args:
        spec: The limits and targets.
        load: The load now.
        present: The number of workers that was desired so far.
        too_many_since: As the last call returned it.
        now: Monotonic seconds.
    """
    least = max(spec.min_replicas, int(load.demanded))
    if present == 0:
        return Scale(replicas=least)
    # Changed limits apply at once; only a scale-down by load waits.
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
