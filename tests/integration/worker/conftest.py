"""A real worker on loopback, with the mock family, in the test's own event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_client import WorkerClient
from voiceplane_worker.app import Worker

from tests.support.workers import mock_worker_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    async with Worker(mock_worker_settings()) as worker:
        yield worker
        assert len(worker.sessions) == 0, "a session has leaked"


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[WorkerClient]:
    async with WorkerClient(worker.address) as client:
        yield client
