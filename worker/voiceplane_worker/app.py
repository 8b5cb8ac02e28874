"""Builds a worker from its parts, starts and stops it in order."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from voiceplane_common.artifacts import FetchLimits
from voiceplane_common.clock import SystemClock
from voiceplane_common.errors import unavailable
from voiceplane_common.logs import get_logger
from voiceplane_common.tls import TlsSection, server_credentials
from voiceplane_proto.v1 import tts_pb2, tts_pb2_grpc

from voiceplane_worker.adapters import plugins
from voiceplane_worker.adapters.devices import memory_budget_bytes, read_memory
from voiceplane_worker.adapters.gpu_defaults import with_gpu_defaults
from voiceplane_worker.metrics import Metrics
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.residency.load_check import LoadCheck
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.models_file import read_models_file
from voiceplane_worker.residency.models_file_watcher import ModelsFileWatcher
from voiceplane_worker.residency.pack_loader import PackLoader, adapter_of
from voiceplane_worker.scheduler import DeadlineScheduler
from voiceplane_worker.server.mtls_auth import MtlsAuthInterceptor
from voiceplane_worker.server.service import TTSService
from voiceplane_worker.server.watch_state import ChangeCounter, StatePublisher
from voiceplane_worker.sessions.load_metrics import LoadMetrics
from voiceplane_worker.sessions.session_context import SessionServices
from voiceplane_worker.sessions.store import SessionStore

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from voiceplane_worker.registration import Registration
    from voiceplane_worker.residency.model_spec import ModelSpec
    from voiceplane_worker.settings import WorkerSettings

SERVER_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second worker on the same port is an error
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Frames are small and paced: a larger HTTP/2 window would only buffer the audio of a slow listener.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", 1 << 20),
]

_log = get_logger("worker")


class Worker:
    """One worker. Use as an asynchronous context manager.

    Attributes:
        address: Its listen address, with the actual port where the settings say 0.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings = with_gpu_defaults(settings, plugins.usable())
        self.address = ""
        self.metrics = Metrics()
        worker = settings.worker
        for name in sorted(set(worker.hosted_families) - {*plugins.families(), *plugins.broken()}):
            # Workers of several families may share their settings.
            _log.warning("hosted_family_not_installed", family=name, remedy=plugins.remedy(name))
        for name, problem in plugins.broken().items():
            _log.warning("family_broken", family=name, problem=problem)
        changes = ChangeCounter()
        self._worker_id = worker_id = uuid.uuid4().hex[:12]
        self._scheduler = scheduler = DeadlineScheduler(workers=worker.compute_workers)
        self.metrics.queue_steps.set_function(lambda: scheduler.queue_depth)
        self.metrics.sessions_limit.set(worker.max_sessions)
        load = LoadMetrics(metrics=self.metrics, changed=changes.note)
        self._models_file = (
            ModelsFileWatcher(worker.models_file, read=_declared, metrics=self.metrics, clock=SystemClock())
            if worker.models_file
            else None
        )
        manager_section = settings.model_manager
        if not manager_section.memory_cap_bytes and (budget := memory_budget_bytes(worker.device)):
            manager_section = manager_section.model_copy(update={"memory_cap_bytes": budget})
            _log.info("memory_budget", device=worker.device, memory_cap_bytes=budget)
        load_check = LoadCheck(
            device=worker.device,
            accept_licences=worker.accept_licences,
            memory_cap_bytes=lambda: manager_section.memory_cap_bytes,
        )
        self.manager = ModelManager(
            settings=manager_section,
            device=worker.device,
            read_memory=lambda: read_memory(worker.device),
            catalog=PackCatalog(worker.packs_dir),
            loader=PackLoader(
                device=worker.device,
                threads=worker.threads_per_step,
                adapter_of=lambda family: adapter_of(family, hosted=worker.hosted_families),
                credentials_dir=Path(worker.credentials_dir) if worker.credentials_dir else None,
                accept_licences=worker.accept_licences,
                private_sources=worker.private_sources,
                cache_max_bytes=worker.cache_max_bytes,
                limits=FetchLimits(stall_s=settings.model_manager.fetch_stall_timeout_ms / 1000),
                load_check=load_check,
            ),
            check=load_check,
            clock=SystemClock(),
            metrics=self.metrics,
            changed=changes.note,
            declared=self._models_file.read_first() if self._models_file else (),
        )
        self.sessions = SessionStore(
            manager=self.manager,
            services=SessionServices(settings=worker, scheduler=self._scheduler, load=load, memory=self.manager.memory),
            metrics=self.metrics,
            changed=changes.note,
        )
        self.state = StatePublisher(
            worker_id=worker_id,
            max_sessions=worker.max_sessions,
            changes=changes,
            manager=self.manager,
            sessions=self.sessions,
            load=load,
            device=worker.device,
        )
        self._service = TTSService(
            worker_id=worker_id,
            version=_version(),
            settings=settings,
            families=plugins.usable(),
            manager=self.manager,
            sessions=self.sessions,
            state=self.state,
            metrics=self.metrics,
        )
        self._health = health.aio.HealthServicer()
        self._servers: list[grpc.aio.Server] = []
        self._registration: Registration | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(drain_timeout_s=0.0)

    async def start(self) -> None:
        """Listen, then load the default and preloaded models; returns when each is resident or has failed.

        It listens before it is ready, so that clients of WatchState see the models load. A failed load does not stop
        the worker: WatchState reports the failure.

        Raises:
            VoiceplaneError: UNAVAILABLE, ADDRESS_IN_USE.
        """
        tls = self.settings.tls
        callers = [MtlsAuthInterceptor(tls.allowed_clients)] if tls.on and tls.allowed_clients else []
        server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=callers)
        self._servers.append(server)
        tts_pb2_grpc.add_TTSServicer_to_server(self._service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [tts_pb2.DESCRIPTOR.services_by_name["TTS"].full_name]
        names += [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        self.address = self._bind(server, self.settings.worker.listen, tls=tls)
        await server.start()
        if self.settings.worker.health_listen:
            await self._serve_health(self.settings.worker.health_listen)
        self._registration = self._register()
        self._run(self.state.keep_health(self._health, self.metrics))
        self._run(self.state.keep_device_memory(SystemClock(), self.metrics))
        self._run(self.sessions.reap_forever())
        await self.manager.start()
        if self._models_file:
            self._run(self._models_file.watch(self.manager))
        _log.info("listening", address=self.address, ready=self.state.ready)

    async def drain(self, *, timeout_s: float) -> None:
        """Refuse new sessions; return when the open ones have ended, or at the timeout."""
        self.sessions.drain()
        if self._registration is not None:
            await self._registration.leave()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.sessions.wait_empty(), timeout_s)

    async def stop(self, *, drain_timeout_s: float) -> None:
        """Drain, end the remaining sessions with an error, and free everything."""
        await self.drain(timeout_s=drain_timeout_s)
        await self.sessions.end_all(unavailable("DRAINING", "the worker is shutting down: use another worker"))
        await asyncio.gather(*(server.stop(grace=0.5) for server in self._servers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.close()
        self._scheduler.close()

    async def _serve_health(self, listen: str) -> None:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._bind(server, listen, tls=TlsSection())
        await server.start()
        self._servers.append(server)

    def _register(self) -> Registration | None:
        """Register in Redis as soon as the worker listens; WatchState reports which models are resident."""
        settings = self.settings.redis
        if not settings.url:
            return None
        # Imported here because a single host needs no Redis client.
        from voiceplane_worker.registration import Registration  # noqa: PLC0415

        registration = Registration(
            settings=settings,
            worker_id=self._worker_id,
            listen=self.address,
            clock=SystemClock(),
            metrics=self.metrics,
        )
        registration.start()
        return registration

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    @staticmethod
    def _bind(server: grpc.aio.Server, listen: str, *, tls: TlsSection) -> str:
        try:
            port = (
                server.add_secure_port(listen, server_credentials(tls)) if tls.on else server.add_insecure_port(listen)
            )
        except RuntimeError:
            port = 0
        if port == 0:
            message = f"cannot listen on {listen}: in use, or not an address of this machine; set worker.listen"
            raise unavailable("ADDRESS_IN_USE", message)
        if listen.startswith("unix:"):
            return listen
        return f"{listen.rpartition(':')[0]}:{port}"


def _version() -> str:
    try:
        return importlib.metadata.version("voiceplane-worker")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # not installed, only on the path


def _declared(file: str) -> tuple[ModelSpec, ...]:
    """The models of a file that this worker can load; workers of several families may share the file."""
    installed = {family.name for family in plugins.traits()}
    return tuple(spec for spec in read_models_file(file) if not spec.family or spec.family in installed)
