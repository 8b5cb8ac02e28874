"""The sessions that are open: how many there may be, and how they end when the server does."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Literal

import structlog
from voiceplane_common.errors import VoiceplaneError, exhausted, unavailable
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_orchestrator.metrics import Metrics

_log = get_logger("admission")

SessionKind = Literal["talk", "speak", "file", "room"]


class SessionAdmission:
    """Admits sessions and counts them. Confined to the event loop.

    Attributes:
        kinds: The kind of each open session by its id.
        finishing: No new session; each present one ends as soon as it has said what it is saying.
        ending: All end now.
    """

    def __init__(self, *, max_sessions: int, metrics: Metrics) -> None:
        self.kinds: dict[str, SessionKind] = {}
        self.finishing = asyncio.Event()
        self.ending = asyncio.Event()
        self._max_sessions = max_sessions
        self._metrics = metrics
        metrics.sessions_limit.set(max_sessions)
        self._left = asyncio.Event()

    @contextlib.contextmanager
    def admit(self, kind: SessionKind) -> Iterator[str]:
        """A place for a session; yields its id.

        Raises:
            VoiceplaneError: There is no place, or the server shuts down.
        """
        if self.finishing.is_set():
            raise self._refused(shutting_down())
        if len(self.kinds) >= self._max_sessions:
            text = f"{self._max_sessions} sessions are open already (limits.max_sessions): try again later"
            raise self._refused(exhausted("TOO_MANY_SESSIONS", text, retry_after_ms=1000))
        session_id = uuid.uuid4().hex
        self.kinds[session_id] = kind
        self._metrics.sessions.labels(kind).inc()
        self._metrics.sessions_started.labels(kind).inc()
        began_s = time.monotonic()
        try:
            # Every line that is logged for it names it, whoever logs it.
            with structlog.contextvars.bound_contextvars(session_id=session_id):
                _log.info("session_started", kind=kind)
                try:
                    yield session_id
                finally:
                    _log.info("session_ended", kind=kind, seconds=round(time.monotonic() - began_s, 3))
        finally:
            del self.kinds[session_id]
            self._left.set()
            self._metrics.sessions.labels(kind).dec()

    def _refused(self, error: VoiceplaneError) -> VoiceplaneError:
        self._metrics.sessions_refused.labels(error.reason).inc()
        _log.info("session_refused", reason=error.reason)
        return error

    def finish(self) -> None:
        """Take no new session; the present ones end after what they are saying."""
        self.finishing.set()

    def end(self) -> None:
        """Take no new session, and end the present ones."""
        self.finishing.set()
        self.ending.set()

    async def wait_idle(self) -> None:
        """Return when no session is open."""
        while self.kinds:
            self._left.clear()
            await self._left.wait()


def shutting_down() -> VoiceplaneError:
    """The server ends."""
    return unavailable("SHUTTING_DOWN", "the server shuts down: connect again", retry_after_ms=1000)
