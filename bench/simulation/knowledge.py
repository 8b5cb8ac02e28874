"""What each orchestrator knows of the workers: snapshots, which all hear at the same moment, and its own placements."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from voiceplane_orchestrator.routing.pending_sessions import PendingSessions

if TYPE_CHECKING:
    from voiceplane_orchestrator.routing.worker_view import WorkerView

Place = tuple[int, int]
"""A worker: its pool, and its number there."""


class Knowledge:
    """The same as the links of an orchestrator, for all orchestrators at once."""

    def __init__(self, views: list[list[WorkerView]], *, orchestrators: int, delay_s: float) -> None:
        """Begin with what the workers tell first.

        Args:
            views: Of each pool's workers.
            orchestrators: How many there are; each knows of its own placements only.
            delay_s: The age of a snapshot when it arrives.
        """
        self._told = views
        self._delay_s = delay_s
        self._news: deque[tuple[float, Place, int, WorkerView]] = deque()
        self._revision = 0
        self._own: list[dict[int, dict[int, PendingSessions]]] = [defaultdict(dict) for _ in range(orchestrators)]

    def tell(self, place: Place, view: WorkerView, *, now_s: float) -> None:
        """A worker's snapshot leaves."""
        self._revision += 1
        self._news.append((now_s + self._delay_s, place, self._revision, view))

    def hear(self, now_s: float) -> None:
        """Take in what has come by now."""
        while self._news and self._news[0][0] <= now_s:
            _, (pool, number), revision, view = self._news.popleft()
            self._told[pool][number] = view
            for pools in self._own:
                own = pools[pool].get(number)
                if own is None:
                    continue
                if view.connected:
                    own.snapshot(revision)
                else:
                    own.lost()
                if not own.count:
                    del pools[pool][number]

    def begun(self, session: str, place: Place, *, orchestrator: int) -> None:
        """A worker has taken a session, which its latest snapshot counts."""
        pool, number = place
        own = self._own[orchestrator][pool].setdefault(number, PendingSessions())
        own.sent()
        own.begun(session, revision=self._revision)

    def ended(self, session: str, place: Place, *, orchestrator: int) -> None:
        """A session is over."""
        pool, number = place
        if (own := self._own[orchestrator][pool].get(number)) is not None:
            own.ended(session)

    def seen_by(self, orchestrator: int) -> Sequence[Sequence[WorkerView]]:
        """What one orchestrator knows of each pool's workers, as RoutedWorker.view() says it."""
        return _Pools(self._told, self._own[orchestrator])


class _Pools(Sequence[Sequence["WorkerView"]]):
    """Only pools that are looked at are worth the work."""

    def __init__(self, told: list[list[WorkerView]], own: dict[int, dict[int, PendingSessions]]) -> None:
        self._told = told
        self._own = own

    def __len__(self) -> int:
        return len(self._told)

    @overload
    def __getitem__(self, pool: int) -> Sequence[WorkerView]: ...
    @overload
    def __getitem__(self, pool: slice) -> Sequence[Sequence[WorkerView]]: ...
    def __getitem__(self, pool: int | slice) -> Sequence[WorkerView] | Sequence[Sequence[WorkerView]]:
        if isinstance(pool, slice):
            return [self[number] for number in range(*pool.indices(len(self)))]
        views = list(self._told[pool])
        for number, own in self._own[pool].items():
            views[number] = replace(views[number], sessions=views[number].sessions + own.count)
        return views
