"""Registers this worker in Redis under a lease, and renews the lease for as long as it takes sessions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Protocol

from voiceplane_common.addresses import joined
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_common.logs import get_logger
from voiceplane_common.tasks import until_first

try:
    from voiceplane_common.worker_registry.records import WorkerRecord
    from voiceplane_common.worker_registry.registry import LeaseClaim, WorkerRegistry
except ImportError as error:
    raise failed_precondition(
        "EXTRA_MISSING", f"redis.url needs the extra voiceplane-worker[redis]: {error}", field="redis.url"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from voiceplane_common.clock import Clock

    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.settings import RegistrationSection

# A Redis that does not answer delays the exit of a worker by this at most; the lease then expires.
LEAVE_TIMEOUT_S = 1.0

_log = get_logger("registration")


class RegistryConnection(Protocol):
    """The methods of a WorkerRegistry that a registration calls."""

    host: str
    port: int

    async def hold(self, address: str, record: WorkerRecord, *, put_out: bool) -> LeaseClaim:
        """See WorkerRegistry."""
        ...

    async def leave(self, address: str, worker_id: str) -> bool:
        """See WorkerRegistry."""
        ...


class Registration:
    """One worker's lease."""

    def __init__(
        self,
        *,
        settings: RegistrationSection,
        worker_id: str,
        listen: str,
        clock: Clock,
        metrics: Metrics,
        connect: Callable[
            [RegistrationSection], AbstractAsyncContextManager[RegistryConnection]
        ] = WorkerRegistry.connect,
        own_host: Callable[[str, int], Awaitable[str]] | None = None,
    ) -> None:
        """Prepare; `run` registers.

        Args:
            settings: The Redis, the lease and the heartbeat interval.
            worker_id: Differs between processes.
            listen: Where the worker listens, with its real port.
            clock: Between heartbeats.
            metrics: Prometheus metrics to update.
            connect: Opens a connection to the registry.
            own_host: Returns this machine's address towards a host and port.
        """
        self._settings = settings
        self._record = WorkerRecord(worker_id=worker_id, lease_ms=settings.lease_ms)
        self._listen = listen
        self._clock = clock
        self._metrics = metrics
        self._connect = connect
        self._own_host = own_host or own_host_towards
        self._leaving = asyncio.Event()
        self._was_ours = False
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Register, and stay registered, in the background."""
        self._task = asyncio.create_task(self._run())

    async def leave(self) -> None:
        """Release the lease, so that orchestrators send no new sessions. Returns within LEAVE_TIMEOUT_S."""
        self._leaving.set()
        if self._task is not None:
            await until_first([self._task], timeout_s=LEAVE_TIMEOUT_S)
            self._task = None
        self._metrics.registered.set(0)

    async def _run(self) -> None:
        while not self._leaving.is_set():
            try:
                async with self._connect(self._settings) as registry:
                    await self._stay(registry, await self._address(registry))
            except VoiceplaneError as error:
                self._note_trouble(error.reason, error.message)
                await self._pause()

    async def _stay(self, registry: RegistryConnection, address: str) -> None:
        while not self._leaving.is_set():
            # Only the first time. A worker that loses its lease later is the older one, and does not take it back.
            held = await registry.hold(address, self._record, put_out=not self._was_ours)
            self._note(held, address)
            await self._pause()
        await registry.leave(address, self._record.worker_id)
        _log.info("unregistered", address=address)

    def _note(self, held: LeaseClaim, address: str) -> None:
        if not held.ours:
            message = (
                f"worker {held.before} has registered the same address {address}: set redis.advertise of one of the "
                "two workers to an address that reaches only that worker, or stop one of them"
            )
            self._note_trouble("ADDRESS_TAKEN", message)
            return
        mine = self._record.worker_id
        if held.before not in {"", mine}:
            _log.warning("took_over_address", address=address, before=held.before, worker_id=mine)
        if self._trouble or held.before != mine:
            _log.info("registered", address=address, worker_id=mine)
        self._was_ours = True
        self._trouble = ""
        self._metrics.registered.set(1)

    def _note_trouble(self, reason: str, message: str) -> None:
        if reason != self._trouble:  # log a change, not each heartbeat
            _log.warning("not_registered", reason=reason, message=message)
        self._trouble = reason
        self._metrics.registered.set(0)
        self._metrics.registration_failures.labels(reason=reason).inc()

    async def _pause(self) -> None:
        """Wait for the next heartbeat, or until leave()."""
        heartbeat = asyncio.create_task(self._clock.sleep(self._settings.heartbeat_ms / 1000))
        await until_first([heartbeat, asyncio.create_task(self._leaving.wait())])

    async def _address(self, registry: RegistryConnection) -> str:
        host, _, port = self._listen.rpartition(":")
        if self._settings.advertise:
            host, _, advertised_port = self._settings.advertise.rpartition(":")
            return joined(host, port if advertised_port == "0" else advertised_port)
        if host in WILDCARDS:
            return joined(await self._own_host(registry.host, registry.port), port)
        return self._listen


WILDCARDS = frozenset({"0.0.0.0", "[::]", "::", ""})  # noqa: S104  # compared with, not listened on


async def own_host_towards(host: str, port: int) -> str:
    """This machine's address towards a host; nothing is sent."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.connect(address)
            own: str = probe.getsockname()[0]
            return own
    except OSError as error:
        message = f"cannot determine this machine's address towards {host}: {error}; set redis.advertise"
        raise failed_precondition("NO_ADDRESS", message, field="redis.advertise") from None
