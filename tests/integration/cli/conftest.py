"""The command against a scripted server on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer
from voiceplane_cli.orchestrator_client import OrchestratorClient

from tests.support.scripted_server import Recording, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def scripted() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
async def server(scripted: ScriptedServer) -> AsyncIterator[TestServer]:
    server = TestServer(scripted.app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def api(server: TestServer) -> AsyncIterator[OrchestratorClient]:
    async with OrchestratorClient(str(server.make_url(""))) as api:
        yield api


@pytest.fixture
def recording() -> Recording:
    return Recording()
