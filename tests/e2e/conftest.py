"""The real stack: a worker with a Piper voice, and an orchestrator with Whisper, as processes on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
from voiceplane_orchestrator.asr.settings import AsrSection
from voiceplane_orchestrator.asr.whisper import WhisperRecognizer

from tests.e2e.cluster_fixtures import cluster_images, cluster_kubeconfig, kubectl
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["cluster_images", "cluster_kubeconfig", "kubectl", "recognizer", "server", "worker"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker() -> AsyncIterator[str]:
    """The worker's address."""
    async with processes.worker() as (address, _):
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(worker: str) -> AsyncIterator[str]:
    """The orchestrator's URL."""
    async with processes.orchestrator("--workers", worker) as (url, _):
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recognizer() -> AsyncIterator[WhisperRecognizer]:
    """Ears of the test's own, to judge what was said."""
    recognizer = WhisperRecognizer(AsrSection())
    await recognizer.start()
    yield recognizer
    await recognizer.aclose()
