"""A circuit breaker with exponential backoff: it keeps sessions away from a worker that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_WAIT_S = 0.25
MAX_WAIT_S = 10.0


class CircuitBreaker:
    """The circuit breaker of one worker: closed, then open for a time, then half-open for one trial."""

    def __init__(self, *, jitter: Callable[[], float]) -> None:
        """Create a closed circuit breaker.

        Args:
            jitter: A factor near 1 for each wait, so that many orchestrators do not retry at once.
        """
        self._jitter = jitter
        self._failures = 0
        self._open_until_s = float("-inf")

    def is_open(self, now_s: float) -> bool:
        """Whether it keeps sessions away."""
        return now_s < self._open_until_s

    def failed(self, now_s: float) -> float:
        """Note a failure; returns the seconds for which it stays open."""
        wait = min(MAX_WAIT_S, FIRST_WAIT_S * float(2**self._failures)) * self._jitter()
        self._failures = min(self._failures + 1, 16)
        self._open_until_s = now_s + wait
        return wait

    def succeeded(self) -> None:
        """Note a success: the next failure is the first again."""
        self._failures = 0
        self._open_until_s = float("-inf")
