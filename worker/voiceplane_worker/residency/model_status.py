"""The state of one model, as the model manager reports it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_worker.residency.model_spec import Residency

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Voice


class ModelState(enum.Enum):
    """The state of a model; the names are those of the gRPC API without their prefix."""

    ABSENT = "absent"
    FETCHING = "fetching"
    LOADING = "loading"
    WARMING = "warming"
    RESIDENT = "resident"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model at one moment; the fields are those of ModelStatus in the proto.

    Attributes:
        reason: FAILED or unloadable: a stable CamelCase reason; DRAINING: why; RESIDENT: "Reloading" while
            other content is loaded, "ReloadFailed" after that has failed.
        message: For users; says what to do.
        references: Sessions that use it.
        resident_since: Unix seconds.
        last_used: Unix seconds.
        expires_at: Unix seconds at which the TTL evicts it if it stays unused; None if it can't be evicted.
        generation: Raised by each load of this model in this process.
        fetched_bytes: FETCHING, or ABSENT while its pack is prefetched: bytes so far.
        fetch_bytes: Likewise: bytes in all; 0 while it is unknown.
        fetch_bytes_per_s: Likewise: the rate of the last seconds; 0 while it is unknown.
        prefetched: ABSENT or FAILED: its pack is on this machine.
        unloadable: Whether this worker can never load it, for the reason that `reason` and `message` say.
    """

    model_id: str
    family: str
    state: ModelState
    reason: str = ""
    message: str = ""
    references: int = 0
    residency: Residency = Residency.ON_DEMAND
    is_default: bool = False
    memory_bytes: int = 0
    resident_since: float | None = None
    last_used: float | None = None
    expires_at: float | None = None
    voices: tuple[Voice, ...] = ()
    languages: tuple[str, ...] = ()
    sha256: str = ""
    generation: int = 0
    load_duration_ms: int = 0
    base_model_id: str = ""
    declaration: str = ""
    fetched_bytes: int = 0
    fetch_bytes: int = 0
    unloadable: bool = False
    fetch_bytes_per_s: int = 0
    prefetched: bool = False
