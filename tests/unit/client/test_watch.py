"""The shared watch loop: every outcome is reported, and the next attempt waits for the backoff."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from voiceplane_client import Disconnected, Snapshot, watch_worker
from voiceplane_client.watch import FIRST_SNAPSHOT_S
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2

from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from voiceplane_client import WorkerClient

# The revisions of the snapshots, and how the stream ends: closed, broken by an error, or "silent".
Step = tuple[list[int], VoiceplaneError | str | None]
UNREACHABLE = VoiceplaneError(grpc.StatusCode.UNAVAILABLE, "UNREACHABLE", "it does not answer")


class FakeClient:
    """A worker that behaves by a script, one step for each attempt; after the last step it is unreachable."""

    def __init__(self, *steps: Step) -> None:
        self.attempts: list[float] = []
        self.open_streams = 0
        self._steps = list(steps)

    def renew(self) -> None:
        self.attempts.append(asyncio.get_running_loop().time())

    async def capabilities(self) -> tts_pb2.GetCapabilitiesResponse:
        if not self._steps:
            raise UNREACHABLE
        return tts_pb2.GetCapabilitiesResponse(version=str(len(self.attempts)))

    async def watch_state(self) -> AsyncGenerator[tts_pb2.WorkerState]:
        revisions, end = self._steps.pop(0)
        self.open_streams += 1
        try:
            for revision in revisions:
                yield tts_pb2.WorkerState(revision=revision)
            if isinstance(end, VoiceplaneError):
                raise end
            if end == "silent":
                await asyncio.sleep(1e9)
        finally:
            self.open_streams -= 1


def watched(client: FakeClient, *, updates: int) -> list[Snapshot | Disconnected]:
    """The first updates of a watch, with no jitter."""

    async def scenario() -> list[Snapshot | Disconnected]:
        found: list[Snapshot | Disconnected] = []
        watch = watch_worker(cast("WorkerClient", client), jitter=lambda: 1.0)
        async with contextlib.aclosing(watch):
            async for update in watch:
                found.append(update)
                if len(found) == updates:
                    break
        return found

    return virtual_time.run(scenario())


def test_snapshots_carry_the_capabilities_of_their_connection() -> None:
    client = FakeClient(([1, 2], None), ([7], None))
    first, second, lost, again = watched(client, updates=4)
    assert isinstance(first, Snapshot)
    assert isinstance(second, Snapshot)
    assert isinstance(again, Snapshot)
    assert [(each.state.revision, each.first, each.capabilities.version) for each in (first, second, again)] == [
        (1, True, "1"),
        (2, False, "1"),
        (7, True, "2"),
    ]
    assert lost == Disconnected(reason="STREAM_ENDED", connected=True, retry_in_s=0.2)


@pytest.mark.parametrize(
    ("step", "reason", "connected"),
    [
        (([1], UNREACHABLE), "UNREACHABLE", True),
        (([], UNREACHABLE), "UNREACHABLE", False),
        (([], None), "STREAM_ENDED", False),
        (([], "silent"), "NO_SNAPSHOT", False),
    ],
)
def test_each_end_of_a_connection_has_a_reason(step: Step, reason: str, connected: bool) -> None:
    *_, end = watched(FakeClient(step), updates=2 if connected else 1)
    assert isinstance(end, Disconnected)
    assert (end.reason, end.connected) == (reason, connected)


def test_a_silent_worker_is_disconnected_at_the_deadline() -> None:
    client = FakeClient(([], "silent"))
    watched(client, updates=2)
    began, again = client.attempts
    assert again - began == pytest.approx(FIRST_SNAPSHOT_S + 0.2)
    assert client.open_streams == 0


def test_the_wait_grows_to_its_limit_and_a_snapshot_resets_it() -> None:
    lost: list[Step] = [([], UNREACHABLE)]
    client = FakeClient(*lost * 4, ([1], UNREACHABLE), *lost)
    waits = [each.retry_in_s for each in watched(client, updates=7) if isinstance(each, Disconnected)]
    assert waits == [0.2, 0.4, 0.5, 0.5, 0.2, 0.4]
    pauses = [after - before for before, after in zip(client.attempts, client.attempts[1:], strict=False)]
    assert pauses == pytest.approx(waits[:5])


def test_a_caller_that_stops_iterating_ends_the_stream() -> None:
    client = FakeClient(([1], "silent"))
    watched(client, updates=1)
    assert client.open_streams == 0
