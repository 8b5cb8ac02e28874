"""Eviction: which resident models may be unloaded, as pure functions of one snapshot.

The rules, in order of strength:

1. A referenced model is never evicted.
2. A pinned model and the default model are never evicted.
3. No model is evicted before its minimum residency is over, neither by the TTL nor to make room for another one.
   (An explicit UnloadModel is no eviction.)
4. A model is evicted when it has been unused for its TTL.
5. To make room, the least recently used (LRU) of the evictable models goes first, see `admission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """A snapshot of one model for eviction and admission; times are monotonic seconds.

    Attributes:
        memory_bytes: Its memory; for a load under way, the expected memory.
        references: Sessions that use it.
        protected: Pinned or the default.
        stable: Resident with no load or unload under way.
        leaving: It has no references and is being closed: it no longer counts against the caps.
    """

    model_id: str
    memory_bytes: int
    references: int
    protected: bool
    stable: bool
    leaving: bool
    resident_since: float
    last_used: float
    ttl_s: float
    min_residency_s: float

    @property
    def idle(self) -> bool:
        """Whether it may be evicted once its minimum residency is over."""
        return self.stable and not self.references and not self.protected

    @property
    def evictable_at(self) -> float:
        """When the minimum residency is over."""
        return self.resident_since + self.min_residency_s

    @property
    def expires_at(self) -> float:
        """When the TTL evicts it if it stays unused."""
        return max(self.last_used + self.ttl_s, self.evictable_at)


def expired(usages: Iterable[ModelUsage], *, now: float) -> tuple[str, ...]:
    """The models whose TTL has expired, the least recently used first."""
    gone = [each for each in usages if each.idle and each.expires_at <= now]
    return tuple(each.model_id for each in sorted(gone, key=by_last_use))


def by_last_use(usage: ModelUsage) -> tuple[float, str]:
    """A sort key: the least recently used model first."""
    return usage.last_used, usage.model_id
