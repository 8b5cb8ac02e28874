"""A worker whose models live in child processes, and lose them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest
import structlog
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.app import Worker

from tests.support.workers import mock_worker_settings, say, take

if TYPE_CHECKING:
    from voiceplane_worker.residency.model_status import ModelStatus

CREDIT = tts_pb2.StartSessionRequest(credit_flow_control=True)


def status(worker: Worker) -> ModelStatus:
    return next(each for each in worker.manager.statuses() if each.model_id == "mock")


async def test_a_lost_process_ends_its_utterance_and_the_session_goes_on_with_a_new_one() -> None:
    before = set(psutil.Process().children())
    async with (
        Worker(mock_worker_settings(hosted_families=("mock",))) as worker,
        WorkerClient(worker.address) as client,
    ):
        (child,) = set(psutil.Process().children()) - before
        async with await client.start_session() as session:
            assert await say(session, "Hello there.")
            async with session.open_stream() as stream:
                await stream.send("A long sentence. " * 40, utterance_id="u", end=True)
                await take(stream, 3)
                child.send_signal(signal.SIGKILL)
                with pytest.raises(VoiceplaneError, match="killed by SIGKILL") as caught:
                    await take(stream, 10_000)
            assert caught.value.reason == "MODEL_PROCESS_ENDED"
            lease = await worker.manager.acquire("mock")  # waits for the new load, if that is under way
            lease.release()
            assert await say(session, "Hello again.", utterance_id="v")
        assert status(worker).generation == 2
        (other,) = set(psutil.Process().children()) - before
        assert other.pid != child.pid
    assert set(psutil.Process().children()) == before


def test_a_hosted_family_that_is_not_installed_is_logged_with_its_remedy() -> None:
    with structlog.testing.capture_logs() as logged:
        Worker(mock_worker_settings(hosted_families=("opera",)))
    (entry,) = (each for each in logged if each["event"] == "hosted_family_not_installed")
    assert (entry["family"], entry["remedy"]) == ("opera", "pip install voiceplane-family-opera")
