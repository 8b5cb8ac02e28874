"""The real stack, as processes on loopback: a worker with Piper, an orchestrator with Whisper. And a scripted page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from voiceplane_speech_input.asr.settings import AsrSection
from voiceplane_speech_input.asr.whisper import WhisperRecognizer

from tests.e2e.cluster_fixtures import cluster_images, cluster_kubeconfig, kubectl
from tests.support import processes
from tests.support.browser import browser
from tests.support.page import page_server
from tests.support.page_states import talkative_microphone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.scripted_server import ScriptedServer

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
    """A recognizer of the test's own, to judge what was said."""
    recognizer = WhisperRecognizer(AsrSection())
    await recognizer.start()
    yield recognizer
    await recognizer.aclose()


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[WebDriver]:
    """A browser whose microphone hears someone who goes on talking."""
    microphone = talkative_microphone(tmp_path / "microphone.wav")
    with browser(profile=tmp_path / "profile", microphone=microphone) as chrome:
        yield chrome


@pytest.fixture
def scripted() -> ScriptedServer:
    """The page's server, to be scripted."""
    return page_server()


@pytest.fixture
async def url(scripted: ScriptedServer, chrome: WebDriver) -> AsyncIterator[str]:
    """Where the scripted server is."""
    async with TestServer(scripted.app) as server:
        yield str(server.make_url("/"))
        await asyncio.to_thread(chrome.get, "about:blank")  # so that the server's end sees it go
