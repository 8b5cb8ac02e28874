"""Pending sessions: those that this orchestrator sent to a worker and that the worker does not report yet."""

from __future__ import annotations


class PendingSessions:
    """Counts each session from its StartSession until a snapshot of the worker includes it, or until it ends.

    The worker's snapshots include a session from the revision of its StartSession response on.

    Attributes:
        count: How many are pending. Routing reads it for each worker at each decision.
    """

    def __init__(self) -> None:
        self.count = 0
        self._answered: dict[str, int] = {}
        self._revision = 0

    def sent(self) -> None:
        """A StartSession was sent; begun() or failed() must follow."""
        self.count += 1

    def failed(self) -> None:
        """A StartSession failed."""
        self.count -= 1

    def begun(self, session_id: str, *, revision: int) -> None:
        """A StartSession succeeded at this revision of the worker; ended() must follow."""
        if revision > self._revision:
            self._answered[session_id] = revision
        else:
            self.count -= 1  # a snapshot with it arrived before the response

    def ended(self, session_id: str) -> None:
        """A session ended, whether a snapshot included it or not."""
        if self._answered.pop(session_id, None) is not None:
            self.count -= 1

    def snapshot(self, revision: int) -> None:
        """A snapshot of this revision arrived."""
        self._revision = revision
        for session_id in [each for each, since in self._answered.items() if since <= revision]:
            self.ended(session_id)

    def lost(self) -> None:
        """The connection was lost: the next snapshot includes all sessions, or is of another process."""
        self.count -= len(self._answered)
        self._answered.clear()
        self._revision = 0
