"""The target of a comparison: a running server or worker, or a worker that runs for the comparison only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.demo import interruptible
from voiceplane_cli.inventory import DirectWorker, Inventory, inventory
from voiceplane_cli.local_stack import POLL_S, Child, free_port, require_components
from voiceplane_cli.orchestrator_client import DEFAULT_URL, OrchestratorClient
from voiceplane_cli.output import CliError, note

START_DEADLINE_S = 60.0


@asynccontextmanager
async def compare_target(
    *, server: str | None, worker: str | None, api_key: str, models: int
) -> AsyncIterator[Inventory]:
    """The worker that was named, else the server that was; else the default server; else a worker of our own.

    Args:
        server: From --server; None if it was not given.
        worker: From --worker, likewise.
        api_key: Of the server; empty for none.
        models: That a worker of our own must hold at once.
    """
    if worker is None and server is None:
        async with OrchestratorClient(DEFAULT_URL, api_key=api_key) as api:
            if not await api.is_alive():
                async with _own_worker(models=models) as own:
                    yield own
                return
    async with inventory(server=server or DEFAULT_URL, api_key=api_key, worker=worker) as source:
        yield source


@asynccontextmanager
async def _own_worker(*, models: int) -> AsyncIterator[DirectWorker]:
    require_components(("voiceplane_worker",))
    note(f"no server at {DEFAULT_URL}: starting a worker for this command (--server or --worker names one that runs)")
    address = f"127.0.0.1:{free_port()}"
    line = [sys.executable, "-m", "voiceplane_worker", "--listen", address, "--default-model", ""]
    with interruptible():
        async with (
            Child([*line, "--resident-cap", str(models)], name="worker") as child,
            WorkerClient(address) as client,
        ):
            await _serving(child, client)
            yield DirectWorker(client)


async def _serving(child: Child, client: WorkerClient) -> None:
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while True:
                child.check()
                try:
                    await client.capabilities()
                except VoiceplaneError:  # it does not listen yet
                    await asyncio.sleep(POLL_S)
                else:
                    return
    except TimeoutError:
        raise CliError(f"the worker did not answer within {START_DEADLINE_S:.0f} s; see {child.log}") from None
