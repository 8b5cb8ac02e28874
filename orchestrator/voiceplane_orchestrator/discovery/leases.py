"""Which leases are valid: snapshots of the registry in, addresses out. No clock of its own, no I/O.

An expiry on Redis' clock counts only within the lease's length on our clock, because after a Redis failover the clock
may be another one. If Redis loses its memory, workers get time to register again before they count as gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from voiceplane_common.worker_registry.records import Lease, Snapshot

# After Redis was unreachable, workers have this time to register again: some heartbeats, and one attempt that hangs.
REREGISTER_GRACE_S = 3.0
# A lease that disappears this shortly before its expiry has expired: Redis' clock is slightly ahead.
EXPIRY_TOLERANCE_S = 0.1


class LeaseChange(NamedTuple):
    """A change of a worker's lease."""

    kind: Literal["registered", "replaced", "left", "expired"]
    address: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class _HeldLease:
    lease: Lease
    expires_s: float
    awaited: bool = False  # not registered again since Redis is reachable


class LeaseTable:
    """The workers with a valid lease."""

    def __init__(self) -> None:
        self._held: dict[str, _HeldLease] = {}
        # By address: the expiry on Redis' clock of leases that have expired on ours.
        self._expired: dict[str, int] = {}
        self._incarnation = ""
        self._was_unreachable = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def addresses(self) -> frozenset[str]:
        """Their addresses."""
        return frozenset(self._held)

    @property
    def next_expiry_s(self) -> float | None:
        """When the next lease expires, if no heartbeat arrives; None without leases."""
        return min((held.expires_s for held in self._held.values()), default=None)

    def unreachable(self) -> None:
        """Redis is unreachable: no lease expires until it is reachable."""
        self._was_unreachable = True

    def apply(self, snapshot: Snapshot, now_s: float) -> list[LeaseChange]:
        """Apply a snapshot; returns the changes.

        Args:
            snapshot: The records in Redis.
            now_s: Our own monotonic clock.
        """
        if self._was_unreachable or snapshot.incarnation != self._incarnation:
            self._await_reregistration(now_s)
        self._was_unreachable = False
        self._incarnation = snapshot.incarnation
        leases = {address: lease for address, lease in snapshot.leases.items() if not self._has_expired(lease)}
        self._expired = {address: end for address, end in self._expired.items() if address in snapshot.leases}
        changes = [change for lease in leases.values() if (change := self._renew(lease, now_s)) is not None]
        for address, held in list(self._held.items()):
            is_there = address in leases
            if held.expires_s <= now_s + (0.0 if is_there or held.awaited else EXPIRY_TOLERANCE_S):
                changes.append(self._drop(address, "expired"))
                if is_there:
                    self._expired[address] = held.lease.ends_ms
            elif not is_there and not held.awaited:
                changes.append(self._drop(address, "left"))
        return changes

    def _has_expired(self, lease: Lease) -> bool:
        return self._expired.get(lease.address) == lease.ends_ms

    def _await_reregistration(self, now_s: float) -> None:
        for address, held in self._held.items():
            wait_s = max(REREGISTER_GRACE_S, held.lease.lease_ms / 1000)
            self._held[address] = replace(held, expires_s=now_s + wait_s, awaited=True)

    def _renew(self, lease: Lease, now_s: float) -> LeaseChange | None:
        held = self._held.get(lease.address)
        expires_s = now_s + lease.left_ms / 1000
        if held is not None and not held.awaited and held.lease.ends_ms == lease.ends_ms:
            expires_s = min(expires_s, held.expires_s)  # no heartbeat since, whatever Redis' clock says
        self._held[lease.address] = _HeldLease(lease, expires_s)
        if held is None:
            return LeaseChange("registered", lease.address, lease.worker_id)
        if held.lease.worker_id != lease.worker_id:
            return LeaseChange("replaced", lease.address, lease.worker_id)
        return None

    def _drop(self, address: str, kind: Literal["left", "expired"]) -> LeaseChange:
        return LeaseChange(kind, address, self._held.pop(address).lease.worker_id)
