"""Rate limits of one caller: requests a minute, and requests and WebSockets at once."""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import exhausted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_common.clock import Clock

MAX_REMEMBERED = 10_000
"""Bound on the callers that are kept: without keys, callers are addresses, and one client may have many of them."""


@dataclass(slots=True)
class _Caller:
    """A token bucket (one token for a request) and the number of open requests."""

    tokens: float
    refilled_s: float
    open: int = 0


class RateLimiter:
    """Token buckets, one for each caller. Confined to the event loop."""

    def __init__(self, *, requests_per_minute: int, connections_per_caller: int, clock: Clock) -> None:
        """Set the limits.

        Args:
            requests_per_minute: Refill rate and size of a caller's bucket.
            connections_per_caller: A caller's requests and WebSockets at once.
            clock: Refills the buckets.
        """
        self._per_minute = requests_per_minute
        self._max_open = connections_per_caller
        self._clock = clock
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    @contextlib.contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Admit a caller's request, and count it as open until the context ends.

        Raises:
            VoiceplaneError: RESOURCE_EXHAUSTED: RATE_LIMITED with the time to wait, or TOO_MANY_CONNECTIONS.
        """
        caller = self._refill(name)
        if caller.open >= self._max_open:
            message = f"{self._max_open} connections are open already (limits.connections_per_caller): close some"
            raise exhausted("TOO_MANY_CONNECTIONS", message, retry_after_ms=1000)
        if caller.tokens < 1.0:
            wait_ms = math.ceil((1.0 - caller.tokens) * 60_000 / self._per_minute)
            message = f"more than {self._per_minute} requests in a minute (limits.requests_per_minute): send fewer"
            raise exhausted("RATE_LIMITED", message, retry_after_ms=wait_ms)
        caller.tokens -= 1.0
        caller.open += 1
        try:
            yield
        finally:
            caller.open -= 1

    def _refill(self, name: str) -> _Caller:
        now_s = self._clock.now()
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = _Caller(tokens=float(self._per_minute), refilled_s=now_s)
            self._evict()
        self._callers.move_to_end(name)
        gained = (now_s - caller.refilled_s) * self._per_minute / 60.0
        caller.tokens, caller.refilled_s = min(float(self._per_minute), caller.tokens + gained), now_s
        return caller

    def _evict(self) -> None:
        """Above the bound, forget the least recent caller that has nothing open."""
        if len(self._callers) > MAX_REMEMBERED:
            idle = next((name for name, caller in self._callers.items() if not caller.open), None)
            if idle is not None:
                del self._callers[idle]
