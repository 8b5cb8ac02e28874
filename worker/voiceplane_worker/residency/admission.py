"""Admission of models: whether a new model fits within the caps, and which models are evicted for it.

If all evictable models together do not make enough room, none is evicted and the new model is refused.

The cap counts models, not generations: a RELOAD keeps the old generation beside the new one for a while. Memory counts
every generation. A model counts from the start of its fetch, so that loads under way can't exceed the cap together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_worker.residency.eviction import by_last_use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_worker.residency.eviction import ModelUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a new model fits.

    Attributes:
        fits: Whether it fits after `evict` has been unloaded.
        evict: Models to evict, in this order.
        blockers: If it does not fit: the models that can't be evicted.
        retry_at: If it does not fit: when the next minimum residency ends; None if that would not help.
    """

    fits: bool
    evict: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    retry_at: float | None = None


def admit(
    usages: Iterable[ModelUsage],
    *,
    model_id: str,
    memory_bytes: int,
    cap: int,
    memory_cap_bytes: int,
    now: float,
) -> Admission:
    """Decide whether a model may be loaded, and which models are evicted for it.

    Args:
        usages: All models that count against the caps. The new model may be one of them: it counts once in the cap,
            and the memory of its older generation counts beside the new one's.
        model_id: The new model.
        memory_bytes: Its expected memory; 0 if unknown.
        cap: Limit of models.
        memory_cap_bytes: Limit of their memory; 0 for no limit.
        now: Monotonic seconds.
    """
    staying = [each for each in usages if not each.leaving]
    others = [each for each in staying if each.model_id != model_id]
    excess = len(others) + 1 - cap
    excess_bytes = sum(each.memory_bytes for each in staying) + memory_bytes - memory_cap_bytes
    if not memory_cap_bytes:
        excess_bytes = 0
    idle = sorted((each for each in others if each.idle), key=by_last_use)
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
        blockers=tuple(each.model_id for each in sorted(others, key=by_last_use)),
        retry_at=min(waiting, default=None),
    )
