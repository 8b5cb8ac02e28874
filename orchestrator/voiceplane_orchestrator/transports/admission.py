"""Admission of sessions: how many may be open, and how they end when the server shuts down."""

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
        finishing: Set when no new session is admitted; each open one ends after its current utterance.
        ending: Set when all sessions end now.
    """

    def __init__(self, *, max_sessions: int, metrics: Metrics) -> None:
        self.kinds: dict[str, SessionKind] = {}
        self.finishing = asyncio.Event()
        self.ending = asyncio.Event()
        self._max_sessions = max_sessions
        self._metrics = metrics
        metrics.sessions_limit.set(max_sessions)
        self._closed = asyncio.Event()

    @contextlib.contextmanager
    def admit(self, kind: SessionKind) -> Iterator[str]:
        """Admit a session until the context ends; yields its id.

        Raises:
            VoiceplaneError: TOO_MANY_SESSIONS or SHUTTING_DOWN.
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
            # Every log line that is written for the session names it.
            with structlog.contextvars.bound_contextvars(session_id=session_id):
                _log.info("session_started", kind=kind)
                try:
                    yield session_id
                finally:
                    _log.info("session_ended", kind=kind, seconds=round(time.monotonic() - began_s, 3))
        finally:
            del self.kinds[session_id]
            self._closed.set()
            self._metrics.sessions.labels(kind).dec()

    def _refused(self, error: VoiceplaneError) -> VoiceplaneError:
        self._metrics.sessions_refused.labels(error.reason).inc()
        _log.info("session_refused", reason=error.reason)
        return error

    def finish(self) -> None:
        """Admit no new session; open ones end after their current utterance."""
        self.finishing.set()

    def end(self) -> None:
        """Admit no new session, and end the open ones now."""
        self.finishing.set()
        self.ending.set()

    async def wait_idle(self) -> None:
        """Return when no session is open."""
        while self.kinds:
            self._closed.clear()
            await self._closed.wait()


def shutting_down() -> VoiceplaneError:
    """The error of a session that the shutdown refuses or ends."""
    return unavailable("SHUTTING_DOWN", "the server is shutting down: connect again", retry_after_ms=1000)
