"""A worker that hangs: its connection stays open, and only an unanswered ping tells."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_client import WorkerClient
from voiceplane_client import worker as client_module
from voiceplane_common.errors import VoiceplaneError

from tests.support.processes import worker as worker_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_proto.v1 import tts_pb2


async def until_gone(states: AsyncIterator[tts_pb2.WorkerState]) -> None:
    async for _ in states:
        pass


async def test_a_stopped_worker_is_noticed_by_its_ping_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(client_module.CHANNEL_OPTIONS) | {"grpc.keepalive_time_ms": 500}  # in operation every 10 s
    monkeypatch.setattr(client_module, "CHANNEL_OPTIONS", list(options.items()))
    async with (
        worker_process("--adapter", "mock", "--default-model", "mock") as (address, process),
        WorkerClient(address) as client,
    ):
        states = client.watch_state()
        assert (await anext(states)).ready
        process.child.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            with pytest.raises(VoiceplaneError) as caught:
                await asyncio.wait_for(until_gone(states), 30)  # without a ping timeout it takes 60 s
            assert caught.value.code is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - stopped > options["grpc.http2.ping_timeout_ms"] / 1000
        finally:
            process.child.send_signal(signal.SIGCONT)
