"""An informer's copy stays true: through watches that end, break or go blind, and after history has gone back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.kube.api import Api, ApiError, Key
from voiceplane_common.kube.informer import FIRST_PAUSE_S, LAST_PAUSE_S, Informer

from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

# A script of a watch: its events and waits in seconds, then an error, or ENDS, or endless silence.
ENDS = "the server ends the watch"
Script = list[Any]
GONE = ApiError(410, "Expired", "too old resource version: 5 (9)")
UNREACHABLE = ApiError(0, "Unreachable", "ServerDisconnectedError")


class FakeApi:
    """Answers lists and watches by scripts; a list or watch that has none waits forever."""

    def __init__(self, *, lists: Sequence[Any], watches: Sequence[Script] = ()) -> None:
        self._lists = list(lists)
        self._watches = list(watches)
        self.calls: list[tuple[float, str]] = []
        self.asked: list[tuple[Any, ...]] = []

    @property
    def made(self) -> list[str]:
        """The calls: "list", or "watch" and from which version."""
        return [call for _, call in self.calls]

    def _note(self, call: str) -> None:
        self.calls.append((asyncio.get_running_loop().time(), call))

    async def list(self, *what: Any) -> dict[str, Any]:
        self._note("list")
        self.asked.append(what)
        answer = self._lists.pop(0) if self._lists else await _forever()
        if isinstance(answer, ApiError):
            raise answer
        return cast("dict[str, Any]", answer)

    async def watch(self, *what: Any, selector: str, resource_version: str) -> AsyncIterator[dict[str, Any]]:
        self._note(f"watch {resource_version}")
        self.asked.append((*what, selector))
        for event in self._watches.pop(0) if self._watches else []:
            if isinstance(event, ApiError):
                raise event
            if event == ENDS:
                return
            if isinstance(event, float):
                await asyncio.sleep(event)
            else:
                yield event
        await _forever()


async def _forever() -> Any:
    await asyncio.Event().wait()


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "speech", "name": name, "resourceVersion": str(version)}} | more


def listed(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": item(name, version)}


def bookmark(version: int) -> dict[str, Any]:
    # It has no name and no namespace.
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}}


class Watched:
    """An informer, and what it has told."""

    def __init__(self, api: FakeApi) -> None:
        self.told: list[tuple[str, str | None]] = []
        self.informer = Informer(
            cast("Api", api),
            api_version="v1",
            kind="Pod",
            namespace="speech",
            selector="a=b",
            changed=self._note,
        )

    def _note(self, key: Key, value: dict[str, Any] | None) -> None:
        self.told.append((key.name, value["metadata"]["resourceVersion"] if value else None))

    @property
    def versions(self) -> dict[str, str]:
        """Which version of each object it has."""
        return {key.name: value["metadata"]["resourceVersion"] for key, value in self.informer.objects.items()}


def watched(api: FakeApi, *, seconds: float = 60.0) -> Watched:
    """An informer after so many virtual seconds."""

    async def scenario() -> Watched:
        result = Watched(api)
        running = asyncio.create_task(result.informer.run())
        await asyncio.sleep(seconds)
        assert not running.done(), "an informer watches until it is cancelled"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return result

    return virtual_time.run(scenario())


def test_it_lists_and_then_watches_from_the_lists_version() -> None:
    api = FakeApi(lists=[listed(7, item("a", 3), item("b", 5))])
    result = watched(api)
    assert api.made == ["list", "watch 7"]
    assert set(api.asked) == {("v1", "Pod", "speech", "a=b")}
    assert result.told == [("a", "3"), ("b", "5")]
    assert result.informer.objects.keys() == {Key("speech", "a"), Key("speech", "b")}
    assert result.informer.synced.is_set()


def test_it_is_not_synced_before_the_first_list_is_in() -> None:
    assert not watched(FakeApi(lists=[])).informer.synced.is_set()
    api = FakeApi(lists=[UNREACHABLE, listed(7)])
    assert watched(api).informer.synced.is_set()
    assert api.made == ["list", "list", "watch 7"]


def test_events_are_delivered_and_the_next_watch_continues_after_the_last() -> None:
    events = [event("ADDED", "b", 8), event("MODIFIED", "a", 9), event("DELETED", "b", 10), ENDS]
    api = FakeApi(lists=[listed(7, item("a", 3))], watches=[events])
    result = watched(api)
    assert result.told == [("a", "3"), ("b", "8"), ("a", "9"), ("b", None)]
    assert result.versions == {"a": "9"}
    assert api.made == ["list", "watch 7", "watch 10"]


def test_a_bookmark_moves_the_version_and_is_not_delivered() -> None:
    api = FakeApi(lists=[listed(7, item("a", 3))], watches=[[bookmark(50), ENDS]])
    result = watched(api)
    assert api.made == ["list", "watch 7", "watch 50"]
    assert result.told == [("a", "3")]
    assert result.versions == {"a": "3"}


@pytest.mark.parametrize(
    "end",
    [
        GONE,
        ApiError(504, "Timeout", "Too large resource version: 9000, current: 41"),
        ApiError(500, "InternalError", "Too large resource version: 9000, current: 41"),
        ApiError(500, "InternalError", "etcdserver: mvcc: required revision is a future revision"),
        UNREACHABLE,
    ],
    ids=["too old", "too new", "too new in other words", "too new for etcd", "a broken connection"],
)
def test_after_an_error_it_lists_again_instead_of_asking_for_the_old_version(end: ApiError) -> None:
    """A connection breaks, too, when etcd is restored to an older revision, in which the version is another one."""
    api = FakeApi(
        lists=[listed(9000, item("a", 8999)), listed(41, item("a", 40))],
        watches=[[event("MODIFIED", "a", 9001), end]],
    )
    result = watched(api)
    assert api.made == ["list", "watch 9000", "list", "watch 41"]
    assert result.versions == {"a": "40"}


def test_a_watch_without_events_until_its_end_is_listed_again() -> None:
    """A server tells nothing after a version of the future, neither bookmark nor error: it just ends the watch."""
    api = FakeApi(lists=[listed(9000, item("a", 8999)), listed(41, item("a", 40))], watches=[[ENDS]])
    result = watched(api)
    assert api.made == ["list", "watch 9000", "list", "watch 41"]
    assert result.told == [("a", "8999"), ("a", "40")]


def test_a_list_that_follows_tells_only_what_is_another_than_before() -> None:
    before = listed(7, item("same", 1), item("gone", 2), item("edited", 3))
    after = listed(20, item("same", 1), item("edited", 18), item("new", 19))
    result = watched(FakeApi(lists=[before, after], watches=[[GONE]]))
    assert result.told[3:] == [("gone", None), ("edited", "18"), ("new", "19")]
    assert result.versions == {"same": "1", "edited": "18", "new": "19"}


def test_failures_wait_longer_and_longer_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    monkeypatch.setattr("voiceplane_common.kube.informer.random.uniform", longest)
    api = FakeApi(lists=[UNREACHABLE] * 9 + [listed(7)])
    watched(api)
    times = [when for when, _ in api.calls]
    pauses = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 0.0]
    assert all(low == high / 2 for low, high in ranges), "not all that wait come back at once"
    assert (ranges[0][1], ranges[-1][1]) == (FIRST_PAUSE_S, LAST_PAUSE_S)


@pytest.mark.parametrize("end", [GONE, ENDS], ids=["gone", "ended"])
def test_a_server_that_ends_every_watch_at_once_is_not_asked_without_a_pause(end: Any) -> None:
    api = FakeApi(lists=[listed(7)] * 50, watches=[[end]] * 50)
    watched(api, seconds=20.0)
    assert 5 <= api.made.count("list") <= 12


def test_a_watch_that_has_told_something_ends_the_long_pauses() -> None:
    api = FakeApi(lists=[*[UNREACHABLE] * 6, listed(7), listed(9)], watches=[[event("ADDED", "a", 8), UNREACHABLE]])
    watched(api)
    (broken, _), (back, _) = api.calls[-3:-1]
    assert api.made[-3:] == ["watch 7", "list", "watch 9"]
    assert back - broken <= FIRST_PAUSE_S


@pytest.mark.parametrize("end", [ENDS, UNREACHABLE], ids=["ended", "broken"])
def test_quiet_watches_that_held_for_long_are_renewed_soon(end: Any) -> None:
    """A quiet cluster has no bookmarks to send; what changes while no watch runs must not wait for long."""
    api = FakeApi(lists=[listed(7)] * 20, watches=[[240.0, end]] * 20)
    watched(api, seconds=4000.0)
    lists = [when for when, call in api.calls if call == "list"]
    assert len(lists) == 17
    pauses = [after - before - 240.0 for before, after in itertools.pairwise(lists)]
    assert max(pauses) <= FIRST_PAUSE_S


@pytest.mark.parametrize(
    ("watches", "heard_at"),
    [([], 0.0), ([[5.0, event("ADDED", "a", 8)]], 5.0), ([[5.0, ENDS]], 5.0), ([[5.0, UNREACHABLE]], 0.0)],
    ids=["a list", "an event", "the end of a watch", "no failure"],
)
def test_contact_is_when_the_server_last_answered(watches: list[Script], heard_at: float) -> None:
    api = FakeApi(lists=[listed(7), *[UNREACHABLE] * 20], watches=watches)
    assert watched(api).informer.contact == heard_at


def test_contact_is_renewed_by_each_bookmark_and_by_no_failure() -> None:
    async def scenario() -> None:
        api = FakeApi(lists=[listed(7), *[UNREACHABLE] * 9], watches=[[30.0, bookmark(9), UNREACHABLE]])
        result = Watched(api)
        running = asyncio.create_task(result.informer.run())
        await asyncio.sleep(29.0)
        assert result.informer.contact == 0.0
        await asyncio.sleep(21.0)
        assert result.informer.contact == 30.0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual_time.run(scenario())
