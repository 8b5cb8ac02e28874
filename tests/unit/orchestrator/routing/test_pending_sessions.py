"""Own placements count until a snapshot has them: never twice, never below zero, and none is left behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from voiceplane_orchestrator.routing.pending_sessions import PendingSessions

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "answer", "snapshot", "hear", "refuse", "end", "other", "break"]),
        st.integers(0, 7),
    ),
    min_size=20,
    max_size=60,
)


class Cluster:
    """One worker, its snapshots on their way, and an orchestrator: what is true, to compare with what is counted."""

    def __init__(self) -> None:
        self.placements = PendingSessions()
        self.under_way: list[str] = []
        self.open: dict[str, int] = {}
        self.others = 0
        self.revision = 1
        self.on_the_way: list[tuple[int, int]] = []
        self.heard_revision = 0
        self._names = 0

    def send(self, _: int) -> None:
        self._names += 1
        self.under_way.append(f"s{self._names}")
        self.placements.sent()

    def answer(self, pick: int) -> None:
        if self.under_way:
            session = self.under_way.pop(pick % len(self.under_way))
            self.revision += 1
            self.open[session] = self.revision
            self.placements.begun(session, revision=self.revision)

    def refuse(self, pick: int) -> None:
        if self.under_way:
            self.under_way.pop(pick % len(self.under_way))
            self.placements.failed()

    def end(self, pick: int) -> None:
        if self.open:
            session = sorted(self.open)[pick % len(self.open)]
            del self.open[session]
            self.revision += 1
            self.placements.ended(session)

    def other(self, _: int) -> None:
        """Another user's session begins."""
        self.others += 1
        self.revision += 1

    def snapshot(self, _: int) -> None:
        self.on_the_way.append((self.revision, len(self.open) + self.others))

    def hear(self, _: int) -> None:
        if self.on_the_way:
            self.heard_revision, _sessions = self.on_the_way.pop(0)
            self.placements.snapshot(self.heard_revision)

    def break_(self, _: int) -> None:
        """The watch breaks, and begins again with a snapshot of the moment."""
        self.on_the_way.clear()
        self.placements.lost()
        self.snapshot(0)
        self.hear(0)

    def step(self, name: str, pick: int) -> None:
        getattr(self, "break_" if name == "break" else name)(pick)

    @property
    def not_told(self) -> int:
        """Sessions of ours that the snapshot which we know can't have."""
        return len(self.under_way) + sum(since > self.heard_revision for since in self.open.values())


@given(steps=STEPS)
def test_what_is_counted_is_what_the_known_snapshot_lacks(steps: list[tuple[str, int]]) -> None:
    cluster = Cluster()
    for name, pick in steps:
        cluster.step(name, pick)
        assert cluster.placements.count == cluster.not_told


@given(steps=STEPS)
def test_nothing_is_left_once_all_is_over(steps: list[tuple[str, int]]) -> None:
    cluster = Cluster()
    for name, pick in steps:
        cluster.step(name, pick)
    while cluster.under_way:
        cluster.refuse(0)
    while cluster.open:
        cluster.end(0)
    assert cluster.placements.count == 0


def test_a_snapshot_that_overtakes_the_answer_has_the_session_already() -> None:
    placements = PendingSessions()
    placements.sent()
    placements.snapshot(7)
    assert placements.count == 1
    placements.begun("s", revision=6)
    assert placements.count == 0


def test_a_snapshot_that_was_made_before_the_answer_lacks_the_session() -> None:
    placements = PendingSessions()
    placements.sent()
    placements.begun("s", revision=6)
    placements.snapshot(5)
    assert placements.count == 1
    placements.snapshot(6)
    assert placements.count == 0


def test_another_process_on_the_address_has_none_of_the_sessions() -> None:
    placements = PendingSessions()
    placements.sent()
    placements.begun("s", revision=600)
    placements.lost()
    placements.snapshot(1)
    assert placements.count == 0
    placements.ended("s")
    assert placements.count == 0


def test_a_worker_that_tells_no_revision_is_believed_at_its_answer() -> None:
    placements = PendingSessions()
    placements.sent()
    placements.begun("s", revision=0)
    assert placements.count == 0
