"""Which models may go, and which may come: decisions as pure functions of one snapshot.

The rules, in order of strength:

1. A referenced model is never evicted.
2. A pinned model and the default model are never evicted.
3. No model is evicted before its minimum residency is over, neither by the TTL nor to make room for another one.
   (An explicit UnloadModel is no eviction.)
4. A model is evicted when it has been unused for its TTL.
5. To make room, the least recently used of those that may go is evicted, and then the next one; if all of them
   together do not make enough room, none is evicted and the newcomer is refused.

The cap counts models, not generations: a RELOAD keeps the old generation beside the new one for a while. Memory counts
every generation. A model counts from the start of its fetch, so that loads under way can't exceed the cap together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """A model that takes room, at one moment; times are monotonic seconds.

    Attributes:
        memory_bytes: What it holds, or for a load under way, what it is expected to hold.
        references: Leases.
        kept: Pinned or the default.
        settled: Resident with no load or unload under way.
        leaving: It has no references and is being closed: its room is as good as free.
    """

    model_id: str
    memory_bytes: int
    references: int
    kept: bool
    settled: bool
    leaving: bool
    resident_since: float
    last_used: float
    ttl_s: float
    min_residency_s: float

    @property
    def idle(self) -> bool:
        """Whether it may be evicted once its minimum residency is over."""
        return self.settled and not self.references and not self.kept

    @property
    def evictable_at(self) -> float:
        """When the minimum residency is over."""
        return self.resident_since + self.min_residency_s

    @property
    def expires_at(self) -> float:
        """When the TTL evicts it if it stays unused."""
        return max(self.last_used + self.ttl_s, self.evictable_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a newcomer fits.

    Attributes:
        fits: Whether it does, once `evict` has gone.
        evict: Models to evict, in this order.
        blockers: If it does not fit: the models that hold the room.
        retry_at: If it does not fit: when the next minimum residency ends, None if that would not help.
    """

    fits: bool
    evict: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    retry_at: float | None = None


def expired(occupants: Iterable[Occupant], *, now: float) -> tuple[str, ...]:
    """The models that the TTL evicts now, the least recently used first."""
    gone = [each for each in occupants if each.idle and each.expires_at <= now]
    return tuple(each.model_id for each in sorted(gone, key=_by_last_use))


def admit(
    occupants: Iterable[Occupant],
    *,
    model_id: str,
    memory_bytes: int,
    cap: int,
    memory_cap_bytes: int,
    now: float,
) -> Admission:
    """Decide whether a model may take room, and who has to go for it.

    Args:
        occupants: All models that take room; the newcomer may be one of them (it counts once in the cap, and its
            memory, that of an older generation, stays beside the new one's).
        model_id: The newcomer.
        memory_bytes: What it is going to hold; 0 if that is not known yet.
        cap: Models at once.
        memory_cap_bytes: Their memory together; 0 for no limit.
        now: Monotonic seconds.
    """
    staying = [each for each in occupants if not each.leaving]
    others = [each for each in staying if each.model_id != model_id]
    excess = len(others) + 1 - cap
    excess_bytes = sum(each.memory_bytes for each in staying) + memory_bytes - memory_cap_bytes
    if not memory_cap_bytes:
        excess_bytes = 0
    idle = sorted((each for each in others if each.idle), key=_by_last_use)
    evict: list[str] = []
    for each in idle:
        if excess <= 0 and excess_bytes <= 0:
            break
        if each.evictable_at <= now:
            evict.append(each.model_id)
            excess -= 1
            excess_bytes -= each.memory_bytes
    if excess <= 0 and excess_bytes <= 0:
        return Admission(fits=True, evict=tuple(evict))
    waiting = [each.evictable_at for each in idle if each.evictable_at > now]
    return Admission(
        fits=False,
        blockers=tuple(each.model_id for each in sorted(others, key=_by_last_use)),
        retry_at=min(waiting, default=None),
    )


def _by_last_use(occupant: Occupant) -> tuple[float, str]:
    return occupant.last_used, occupant.model_id
