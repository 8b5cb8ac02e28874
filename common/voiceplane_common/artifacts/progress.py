"""How far a fetch is: bytes, rate, and whether it was cancelled."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

PERIOD_S = 0.25
WINDOW_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress:
    """How far a fetch is.

    Attributes:
        done_bytes: Here already, those of an earlier try included.
        total_bytes: In all; 0 while that is not known.
        bytes_per_s: The rate of the last seconds.
    """

    done_bytes: int
    total_bytes: int
    bytes_per_s: float = 0.0


class Meter:
    """Counts bytes in one thread, and reports them a few times a second."""

    def __init__(
        self,
        report: Callable[[FetchProgress], None] | None = None,
        *,
        cancelled: threading.Event | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._cancelled = cancelled
        self._now = now
        self._total = self._done = 0
        self._reported: tuple[int, int] | None = None
        self._due = 0.0
        self._samples: deque[tuple[float, int]] = deque()

    def begin(self, total_bytes: int, *, done_bytes: int = 0) -> None:
        """So many bytes are to come; 0 if that is not known."""
        self._total, self._done = total_bytes, done_bytes
        self._samples.clear()
        self._send()

    def add(self, count: int) -> None:
        """So many bytes more are done.

        Raises:
            VoiceplaneError: CANCELLED, FETCH_CANCELLED.
        """
        self.reach(self._done + count)

    def reach(self, done_bytes: int, *, total_bytes: int | None = None) -> None:
        """So many bytes are done; raises as add does."""
        self.check()
        self._done = done_bytes
        self._total = self._total if total_bytes is None else total_bytes
        if self._now() >= self._due or (self._total and self._done >= self._total):
            self._send()

    def check(self) -> None:
        """Raise FETCH_CANCELLED if the fetch was cancelled."""
        if self._cancelled is not None and self._cancelled.is_set():
            message = "the fetch was cancelled; what has come is kept for the next one"
            raise VoiceplaneError(grpc.StatusCode.CANCELLED, "FETCH_CANCELLED", message)

    def _send(self) -> None:
        now = self._now()
        self._due = now + PERIOD_S
        self._samples.append((now, self._done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        if self._report is None or self._reported == (self._done, self._total):
            return
        self._reported = self._done, self._total
        (then, before), seconds = self._samples[0], now - self._samples[0][0]
        rate = (self._done - before) / seconds if seconds > 0 else 0.0
        del then
        self._report(FetchProgress(done_bytes=self._done, total_bytes=self._total, bytes_per_s=rate))
