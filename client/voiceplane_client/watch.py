"""Watch one worker's state, and reconnect when the stream ends. The operator and the orchestrator share this loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from voiceplane_proto.v1 import tts_pb2

    from voiceplane_client.worker import WorkerClient

FIRST_BACKOFF_S = 0.2
# A worker that comes back must speak within 2 s. This wait and gRPC's own reconnect backoff are parts of that.
MAX_BACKOFF_S = 0.5
# The worker sends its first snapshot at once. A worker that accepts the call and then stays silent is not usable.
FIRST_SNAPSHOT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The worker reported its state.

    Attributes:
        state: What it reported.
        capabilities: What it answered to GetCapabilities on this connection.
        first: Whether this is the first snapshot of the connection.
    """

    state: tts_pb2.WorkerState
    capabilities: tts_pb2.GetCapabilitiesResponse
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The worker could not be reached, or its stream ended. The loop tries again after the backoff.

    Attributes:
        reason: A stable reason: the error's, "STREAM_ENDED" if the worker closed the stream without an error, or
            "NO_SNAPSHOT" if it did not send its state in time.
        connected: Whether a snapshot had arrived on the connection that ended.
        retry_in_s: Seconds until the next attempt.
    """

    reason: str
    connected: bool
    retry_in_s: float


async def watch_worker(
    client: WorkerClient,
    *,
    jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - it spreads waits
) -> AsyncGenerator[Snapshot | Disconnected]:
    """Report each snapshot of a worker, and each end of a connection, until the caller stops iterating.

    Each attempt takes renewed certificates into use and asks for the capabilities again: the worker may be another
    process. The wait between attempts doubles from 0.2 s to at most 0.5 s; a snapshot resets it. Every call has a
    deadline; between snapshots the channel's keepalive finds a dead peer.

    Args:
        client: The connection; the caller closes it.
        jitter: A factor for each wait, so that many clients do not reconnect at the same moment.
    """
    failures = 0
    while True:
        connected = False
        reason = "STREAM_ENDED"
        try:
            client.renew()
            capabilities = await client.capabilities()
            async with contextlib.aclosing(client.watch_state()) as states:
                async with asyncio.timeout(FIRST_SNAPSHOT_S):
                    state = await anext(states, None)
                if state is not None:
                    failures, connected = 0, True
                    yield Snapshot(state=state, capabilities=capabilities, first=True)
                    async for each in states:
                        yield Snapshot(state=each, capabilities=capabilities, first=False)
        except VoiceplaneError as error:
            reason = error.reason
        except TimeoutError:
            reason = "NO_SNAPSHOT"
        retry_in_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2**failures) * jitter()
        failures += 1
        yield Disconnected(reason=reason, connected=connected, retry_in_s=retry_in_s)
        await asyncio.sleep(retry_in_s)
