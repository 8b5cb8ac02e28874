"""The models and workers of an orchestrator or of one worker, and loading, unloading and reloading models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.table import Table
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import Section, load_settings
from voiceplane_common.tls import ClientTlsSection
from voiceplane_proto.v1 import tts_pb2

from voiceplane_cli.model_declaration import ModelDeclaration
from voiceplane_cli.model_info import ModelInfo, Placement, WorkerInfo, model_from_proto, worker_from_proto
from voiceplane_cli.orchestrator_client import Action, OrchestratorClient
from voiceplane_cli.output import CliError, ExitCode, humanise_age, humanise_bytes, table

WATCH_S = 0.3
STATE_DEADLINE_S = 5.0
SETTLE_S = 2.0
SPEAKS = {"now": "now", "loadable": "once loaded", "never": "never"}
UNSETTLED = frozenset({"fetching", "loading", "warming", "draining"})


class Inventory(Protocol):
    """A source of models and workers: an orchestrator (OrchestratorClient) or one worker."""

    async def models(self) -> list[ModelInfo]:
        """Every model."""

    async def workers(self) -> list[WorkerInfo]:
        """Every worker."""

    async def change(self, model_id: str, action: Action, *, declaration: ModelDeclaration | None = None) -> None:
        """Load, unload or reload; returns when it is done."""


class DirectWorker:
    """One worker over gRPC, without an orchestrator.

    Attributes:
        client: Its client.
    """

    def __init__(self, client: WorkerClient) -> None:
        self.client = client

    async def models(self) -> list[ModelInfo]:
        """Every model that the worker knows."""
        return [model_from_proto(status, worker=self.client.address) for status in await self.client.list_models()]

    async def workers(self) -> list[WorkerInfo]:
        """The worker itself."""
        states = self.client.watch_state()
        try:
            async with asyncio.timeout(STATE_DEADLINE_S):
                state = await anext(aiter(states))
        except TimeoutError:
            raise _unreachable(self.client.address) from None
        return [worker_from_proto(state, address=self.client.address)]

    async def change(self, model_id: str, action: Action, *, declaration: ModelDeclaration | None = None) -> None:
        """Load, unload or reload."""
        if action == "load":
            await self._load((declaration or ModelDeclaration()).message(model_id))
        elif action == "unload":
            await self.client.unload_model(model_id)
        else:
            await self.client.reload_model(model_id)

    async def _load(self, request: tts_pb2.LoadModelRequest) -> None:
        """Load; for as long as the worker is at it, since a fetch may take longer than a call may."""
        while True:
            try:
                await self.client.load_model(request)
            except VoiceplaneError as error:
                if error.reason != "DEADLINE_EXCEEDED" or (await self._state(request.model_id)) not in UNSETTLED:
                    raise
            else:
                return

    async def _state(self, model_id: str) -> str:
        return next((model.state for model in await self.models() if model.model_id == model_id), "absent")


@asynccontextmanager
async def inventory(*, server: str, api_key: str, worker: str | None) -> AsyncIterator[Inventory]:
    """The worker that was named, else the server.

    Raises:
        CliError: Out of reach.
    """
    if worker is None:
        async with OrchestratorClient(server, api_key=api_key) as api:
            yield api
        return
    async with WorkerClient(worker, tls=worker_tls()) as client:
        try:
            yield DirectWorker(client)
        except VoiceplaneError as error:
            if error.reason in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:  # a bare status: no server answered
                raise _unreachable(worker) from None
            raise


class _CommandSettings(Section):
    worker_tls: ClientTlsSection = ClientTlsSection()


def worker_tls() -> ClientTlsSection:
    """The certificates for --worker: VOICEPLANE_WORKER_TLS__CA_FILE, CERT_FILE, KEY_FILE and SERVER_NAME.

    Raises:
        VoiceplaneError: A variable is missing or unknown.
    """
    return load_settings(_CommandSettings).worker_tls


def _unreachable(worker: str) -> CliError:
    remedy = "start one with `python -m voiceplane_worker`, or correct --worker HOST:PORT"
    return CliError(f"no worker at {worker}: {remedy}", code=ExitCode.UNREACHABLE)


async def change(
    source: Inventory,
    model_id: str,
    action: Action,
    *,
    declaration: ModelDeclaration | None = None,
    progress: Callable[[str], None],
) -> ModelInfo:
    """Load, unload or reload a model, and report its states and the bytes of its fetch meanwhile.

    Raises:
        CliError: It failed, with the worker's reason.
        VoiceplaneError: The server's reason.
    """
    changing = asyncio.ensure_future(source.change(model_id, action, declaration=declaration))
    said = ""
    try:
        while not changing.done():
            await asyncio.wait({changing}, timeout=WATCH_S)
            now = _activity(await source.models(), model_id)
            if now != said and not changing.done():
                said = now
                progress(now)
        changing.result()
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
    result = await settled(source, model_id)
    if action != "unload" and result.state == "failed":
        raise CliError(f"{model_id} failed: {result.best.reason}: {result.best.message}")
    return result


async def settled(source: Inventory, model_id: str) -> ModelInfo:
    """The model once the server's view of its workers has caught up, or as it is after a while."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_S
    while True:
        found = [model for model in await source.models() if model.model_id == model_id]
        result = found[0] if found else ModelInfo(model_id=model_id, family="")
        if result.state not in UNSETTLED or loop.time() > until:
            return result
        await asyncio.sleep(0.05)


def _activity(models: Sequence[ModelInfo], model_id: str) -> str:
    for model in models:
        if model.model_id == model_id:
            return f"{model_id}: {model.state}{_fetched(model.best)}"
    return f"{model_id}: waiting"


def _fetched(place: Placement) -> str:
    """Such as " 12 MB of 63 MB, 4 MB/s"."""
    if place.state != "fetching" or not place.fetched_bytes:
        return ""
    total = f" of {humanise_bytes(place.fetch_bytes)}" if place.fetch_bytes else ""
    rate = f", {humanise_bytes(place.fetch_bytes_per_s)}/s" if place.fetch_bytes_per_s else ""
    return f" {humanise_bytes(place.fetched_bytes)}{total}{rate}"


def models_table(models: Sequence[ModelInfo], *, now: datetime | None = None) -> Table:
    """A row for each model on each worker."""
    moment = now or datetime.now(UTC)
    rows = [
        (
            model.model_id + (" *" if model.is_default else ""),
            model.family,
            place.worker or "-",
            place.state,
            SPEAKS.get(place.availability, "-"),
            str(place.references),
            humanise_bytes(place.memory_bytes),
            _since(place.last_used, moment),
            _since(place.expires_at, moment),
        )
        for model in models
        for place in (model.workers or (Placement(worker="", state="absent"),))
    ]
    return table(("model", "family", "worker", "state", "speaks", "sessions", "memory", "used", "expires"), rows)


def reasons(models: Sequence[ModelInfo]) -> list[str]:
    """A line for each state that has a reason; below the table, where it has the whole width."""
    return [
        f"{model.model_id} on {place.worker} is {place.state}: "
        + ": ".join(part for part in (place.reason, place.message) if part)
        for model in models
        for place in model.workers
        if place.reason or place.message
    ]


def _since(moment: str | None, now: datetime) -> str:
    return humanise_age((now - datetime.fromisoformat(moment)).total_seconds() if moment else None)
