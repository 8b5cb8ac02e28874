"""How much one caller may ask for: requests a minute, and requests and WebSockets at once."""

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
"""Callers without a key are told apart by their addresses, of which one person may have any number."""


@dataclass(slots=True)
class _Caller:
    """A token bucket (one token a request) and what is open."""

    tokens: float
    at: float
    opened: int = 0


class RateLimiter:
    """Confined to the event loop."""

    def __init__(self, *, requests_per_minute: int, connections_per_caller: int, clock: Clock) -> None:
        """Set the limits.

        Args:
            requests_per_minute: Of each caller, who may make as many at once after a minute of none.
            connections_per_caller: Requests and WebSockets at once.
            clock: For the minutes.
        """
        self._per_minute = requests_per_minute
        self._at_once = connections_per_caller
        self._clock = clock
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    @contextlib.contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Let a caller's request in.

        Raises:
            VoiceplaneError: RESOURCE_EXHAUSTED: RATE_LIMITED with the time to wait, or TOO_MANY_CONNECTIONS.
        """
        caller = self._find(name)
        if caller.opened >= self._at_once:
            message = f"{self._at_once} connections are open already (limits.connections_per_caller): close some"
            raise exhausted("TOO_MANY_CONNECTIONS", message, retry_after_ms=1000)
        if caller.tokens < 1.0:
            wait_ms = math.ceil((1.0 - caller.tokens) * 60_000 / self._per_minute)
            message = f"more than {self._per_minute} requests in a minute (limits.requests_per_minute): send fewer"
            raise exhausted("RATE_LIMITED", message, retry_after_ms=wait_ms)
        caller.tokens -= 1.0
        caller.opened += 1
        try:
            yield
        finally:
            caller.opened -= 1

    def _find(self, name: str) -> _Caller:
        now = self._clock.now()
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = _Caller(tokens=float(self._per_minute), at=now)
            self._forget()
        self._callers.move_to_end(name)
        gained = (now - caller.at) * self._per_minute / 60.0
        caller.tokens, caller.at = min(float(self._per_minute), caller.tokens + gained), now
        return caller

    def _forget(self) -> None:
        """Drop who has not called for longest and has nothing open."""
        if len(self._callers) > MAX_REMEMBERED:
            idle = next((name for name, caller in self._callers.items() if not caller.opened), None)
            if idle is not None:
                del self._callers[idle]
