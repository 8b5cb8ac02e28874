"""Trace spans of a session's turns, until each is answered or discarded, and the latency of their recognition."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from voiceplane_common import tracing
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_common.clock import Clock

_log = get_logger("turns")


class TurnSpans:
    """The spans of one session; no-ops if tracing is off."""

    def __init__(self, *, session_id: str, clock: Clock) -> None:
        self._session_id = session_id
        self._clock = clock
        self._open: dict[int, tracing.Span] = {}

    def begin(self, turn_id: int) -> None:
        """A turn begins."""
        self._open[turn_id] = tracing.start_span("turn", session_id=self._session_id, turn=turn_id)

    def forget(self, turn_id: int, *, result: str) -> None:
        """End the span of a turn that gets no reply of its own."""
        if span := self._open.pop(turn_id, None):
            span.note(result=result)
            span.end()

    def take(self, turn_id: int) -> tracing.Span | None:
        """Hand over the span of a turn that is answered now; it includes the turns before, whose spans end."""
        for before in [each for each in self._open if each < turn_id]:
            self.forget(before, result="continued")
        return self._open.pop(turn_id, None)

    @contextlib.contextmanager
    def recognize(self, turn_id: int, *, quiet_since_s: float) -> Iterator[None]:
        """The context in which an ended turn is recognized.

        Args:
            turn_id: The turn.
            quiet_since_s: When the user's voice ended.
        """
        span = self._open.get(turn_id, tracing.NOOP_SPAN)
        began_s = self._clock.now()
        span.interval("endpointing", began_s=quiet_since_s, ended_s=began_s)
        with tracing.use_span(span):
            with tracing.child_span("recognition"):
                yield
            _log.info(
                "recognition",
                session_id=self._session_id,
                turn=turn_id,
                endpointing_ms=round((began_s - quiet_since_s) * 1000, 1),
                asr_ms=round((self._clock.now() - began_s) * 1000, 1),
            )

    def close(self) -> None:
        """End all spans: the session ends."""
        for turn_id in list(self._open):
            self.forget(turn_id, result="session_ended")
