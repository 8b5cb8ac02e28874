"""A client that leaves while its session begins leaves no session behind, at whatever moment it leaves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from voiceplane_client import WorkerClient
from voiceplane_client.worker import Deadlines
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2

if TYPE_CHECKING:
    from voiceplane_worker.app import Worker
    from voiceplane_worker.residency.model_reference import ModelReference

MOMENTS = 60


async def test_a_start_that_is_cancelled_at_any_moment_leaves_no_session(worker: Worker) -> None:
    began = 0
    async with WorkerClient(worker.address) as client:
        await client.healthy()  # connected
        for steps in range(MOMENTS):
            starting = asyncio.create_task(client.start_session())
            for _ in range(steps):
                await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                session = await starting
                began += 1
                await session.end()
    assert began < MOMENTS
    async with asyncio.timeout(10):
        await worker.sessions.wait_empty()


async def test_a_start_whose_answer_comes_too_late_leaves_no_session(worker: Worker) -> None:
    async with WorkerClient(worker.address, deadlines=Deadlines(start=0.003)) as client:
        await client.healthy()
        for _ in range(MOMENTS):
            with contextlib.suppress(VoiceplaneError):
                await (await client.start_session()).end()
    async with asyncio.timeout(10):
        await worker.sessions.wait_empty()


async def test_a_session_that_is_ended_while_its_model_loads_does_not_begin(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, acquire = asyncio.Event(), worker.manager.acquire

    async def acquire_once_loaded(model_id: str, *, only_if_resident: bool = False) -> ModelReference:
        await loaded.wait()
        return await acquire(model_id, only_if_resident=only_if_resident)

    monkeypatch.setattr(worker.manager, "acquire", acquire_once_loaded)
    async with WorkerClient(worker.address) as client, asyncio.timeout(10):
        starting = asyncio.create_task(client.start_session(tts_pb2.StartSessionRequest(session_id="mine")))
        while "mine" not in worker.sessions.opening:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        await client.stub.EndSession(tts_pb2.EndSessionRequest(session_id="mine"))
        loaded.set()
        with pytest.raises(VoiceplaneError) as caught:
            await starting
    assert caught.value.reason == "SESSION_ENDED"
    assert len(worker.sessions) == 0
