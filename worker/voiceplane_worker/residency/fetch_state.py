"""How far the fetch of one model is, with its rate, and what was fetched ahead of a load."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.packs.metadata import PackSource
    from voiceplane_worker.packs.pack import VoicePack

WINDOW_S = 5.0


@dataclass(slots=True, kw_only=True, eq=False)
class FetchState:
    """A fetch under way.

    Attributes:
        done_bytes: Fetched so far.
        total_bytes: To fetch in all; 0 while it is unknown.
    """

    done_bytes: int = 0
    total_bytes: int = 0
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def bytes_per_s(self) -> int:
        """The rate of the last seconds; 0 while it is unknown."""
        if len(self._samples) < 2:
            return 0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return max(0, round((last - first) / (last_s - first_s))) if last_s > first_s else 0

    def note(self, done_bytes: int, total_bytes: int, *, now: float) -> None:
        """So many bytes are here at this time, in monotonic seconds."""
        self.done_bytes, self.total_bytes = done_bytes, total_bytes
        self._samples.append((now, done_bytes))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()


@dataclass(slots=True, kw_only=True, eq=False)
class Prefetch:
    """The prefetch of one model.

    Attributes:
        source: What it fetches; None for the catalog's pack.
        state: How far it is.
        pack: The pack, once it is here.
        error: Why the last try failed.
        failures: Tries that failed in a row.
        retry_at: Monotonic seconds before which it is not tried again.
    """

    source: PackSource | None
    state: FetchState = field(default_factory=FetchState)
    pack: VoicePack | None = None
    error: VoiceplaneError | None = None
    failures: int = 0
    retry_at: float = 0.0
