"""The sessions that we have sent to a worker and that its own count does not include yet."""

from __future__ import annotations


class PendingSessions:
    """Counts each session from its StartSession until a snapshot of the worker counts it, or until it is over.

    A worker's count has no session before it answers, and has it in each snapshot from the answer's revision on.

    Attributes:
        count: How many there are now. It is read for each worker at each choice.
    """

    def __init__(self) -> None:
        self.count = 0
        self._answered: dict[str, int] = {}
        self._revision = 0

    def sent(self) -> None:
        """A StartSession is on its way: it must come to begun() or to failed()."""
        self.count += 1

    def failed(self) -> None:
        """A StartSession has brought no session."""
        self.count -= 1

    def begun(self, session_id: str, *, revision: int) -> None:
        """A StartSession was answered, with the worker's revision then; it must come to ended()."""
        if revision > self._revision:
            self._answered[session_id] = revision
        else:
            self.count -= 1  # a snapshot has overtaken the answer

    def ended(self, session_id: str) -> None:
        """A session is over, whether a snapshot has counted it or not."""
        if self._answered.pop(session_id, None) is not None:
            self.count -= 1

    def snapshot(self, revision: int) -> None:
        """A snapshot has come."""
        self._revision = revision
        for session_id in [each for each, since in self._answered.items() if since <= revision]:
            self.ended(session_id)

    def lost(self) -> None:
        """The worker tells no more: what comes next is a snapshot of all that it has, or of another process."""
        self.count -= len(self._answered)
        self._answered.clear()
        self._revision = 0
