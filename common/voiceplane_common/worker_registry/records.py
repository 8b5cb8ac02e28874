"""The records in the Redis, version 1 (docs/how-to/several-hosts.md). Their content is not trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from voiceplane_common.addresses import host_and_port

VERSION = 1
MIN_LEASE_MS, MAX_LEASE_MS = 500, 60_000


@dataclass(frozen=True, slots=True)
class RegistryKeys:
    """The keys below a prefix.

    Attributes:
        workers: A hash: by address, a WorkerRecord as JSON.
        leases: A sorted set of addresses; the score is the end of the lease, in milliseconds of Redis' clock.
        incarnation: A string that is another one after the data were lost.
        changes: A channel; a message says that something has changed, and nothing else.
    """

    workers: str
    leases: str
    incarnation: str
    changes: str

    @classmethod
    def below(cls, prefix: str) -> RegistryKeys:
        """The keys of this version."""
        return cls(*(f"{prefix}:v{VERSION}:{name}" for name in ("workers", "leases", "incarnation", "changes")))


class WorkerRecord(BaseModel):
    """Who is at an address; unknown fields are those of a newer minor version, and are passed over.

    Attributes:
        version: Of this schema.
        worker_id: As the worker's WatchState tells it; another one after each start.
        lease_ms: How long the worker is believed in without a heartbeat.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    worker_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    lease_ms: Annotated[int, Field(ge=MIN_LEASE_MS, le=MAX_LEASE_MS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker that has registered.

    Attributes:
        address: "host:port", as it said of itself.
        worker_id: Its identity.
        lease_ms: How long it asked for.
        left_ms: What is left of it by Redis' clock; not more than lease_ms, whatever the clock says.
        ends_ms: Its end on Redis' clock; another one after each heartbeat.
    """

    address: str
    worker_id: str
    lease_ms: int
    left_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What stands in the Redis at one moment.

    Attributes:
        incarnation: Another one after the data were lost; empty if no worker has registered since.
        leases: By address, those that have not ended.
        unreadable: By address, what is wrong with a record that is no worker's.
    """

    incarnation: str
    leases: dict[str, Lease]
    unreadable: dict[str, str]


def read(*, now_ms: int, incarnation: str, workers: dict[str, str], ends_ms: dict[str, int]) -> Snapshot:
    """Parse the registry: active leases, and records that are not valid.

    Args:
        now_ms: Redis' clock.
        incarnation: The key of that name.
        workers: The hash.
        ends_ms: The sorted set.
    """
    leases: dict[str, Lease] = {}
    unreadable: dict[str, str] = {}
    for address, text in workers.items():
        end_ms = ends_ms.get(address)
        try:
            record = WorkerRecord.model_validate_json(text)
            host_and_port(address)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            unreadable[address] = ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
            continue
        except ValueError as error:
            unreadable[address] = f"its address {error}"
            continue
        if end_ms is None:
            unreadable[address] = "it has no lease"
        elif end_ms > now_ms:
            leases[address] = Lease(
                address=address,
                worker_id=record.worker_id,
                lease_ms=record.lease_ms,
                left_ms=min(record.lease_ms, end_ms - now_ms),
                ends_ms=end_ms,
            )
    return Snapshot(incarnation=incarnation, leases=leases, unreadable=unreadable)
