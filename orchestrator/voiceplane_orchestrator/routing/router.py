"""The router: it connects to every worker that discovery finds, and sends sessions to the best one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from voiceplane_client import state_name
from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_common.logs import get_logger
from voiceplane_proto.v1 import tts_pb2

from voiceplane_orchestrator.routing import score
from voiceplane_orchestrator.routing.load_targets import load_targets, workers_with
from voiceplane_orchestrator.routing.routed_worker import RoutedWorker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable

    from voiceplane_common.tls import ClientTlsSection

    from voiceplane_orchestrator.discovery.base import Discovery
    from voiceplane_orchestrator.routing.score import RoutingDecision
    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.routing.worker_view import WorkerView
    from voiceplane_orchestrator.settings import RoutingSection

# A request for an unknown model fails after this time, even if the cluster does not answer.
DEMAND_TIMEOUT_S = 2.0
# A worker reports a change within about 20 ms. What it does not report in this time, something else has reverted.
REPORT_TIMEOUT_S = 1.0
# The states of a model whose load is under way.
LOAD_STATES = frozenset({"fetching", "loading", "warming", "draining"})

_log = get_logger("routing")


class Router:
    """Routes sessions to workers. Use as an asynchronous context manager. Confined to the event loop."""

    def __init__(self, *, discovery: Discovery, settings: RoutingSection, tls: ClientTlsSection | None = None) -> None:
        self._discovery = discovery
        self._settings = settings
        self._tls = tls
        self._workers: dict[str, RoutedWorker] = {}
        self._changed = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._demands: dict[str, asyncio.Task[bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[RoutedWorker] = set()

    async def __aenter__(self) -> Self:
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._follower, *self._demands.values(), *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in (*self._workers.values(), *self._leaving)))
        self._workers.clear()

    def workers(self) -> list[WorkerView]:
        """Every known worker, by address."""
        return [worker.view() for _, worker in sorted(self._workers.items())]

    def explain(self, worker: WorkerView) -> str:
        """The score of a worker, in words."""
        return score.explain(worker, policy=self._settings.policy)

    @property
    def ready(self) -> bool:
        """Whether a session could be served now."""
        return any(worker.ready and worker.takes_sessions for worker in self.workers())

    def choose(self, request: VoiceRequest, *, session_key: str, avoid: Iterable[str] = ()) -> RoutingDecision:
        """Choose a worker; a requested model that is resident nowhere begins to load.

        Raises:
            VoiceplaneError: As score.choose.
        """
        choice = score.choose(
            self.workers(),
            request,
            session_key=session_key,
            policy=self._settings.policy,
            prefer_resident=self._settings.prefer_resident,
            avoid=avoid,
        )
        _log.info("worker_chosen", address=choice.address, model_id=choice.model_id, why=choice.reason)
        if choice.load_on:
            self._run(self._load_on(choice.load_on, choice.load_model_id))
        return choice

    def worker(self, address: str) -> RoutedWorker:
        """The connection to a worker.

        Raises:
            VoiceplaneError: WORKER_GONE: discovery has removed it.
        """
        worker = self._workers.get(address)
        if worker is None:
            raise unavailable("WORKER_GONE", f"the worker {address} is gone: try again", retry_after_ms=100)
        return worker

    def demand(self, model_id: str) -> asyncio.Task[bool]:
        """Request a worker for a session that found none; the result is whether one is being started."""
        task = self._demands.get(model_id)
        if task is None:
            task = self._demands[model_id] = asyncio.create_task(self._discovery.demand(model_id))
            task.add_done_callback(lambda _: self._demands.pop(model_id, None))
        return task

    async def is_scaling_up(self, model_id: str) -> bool:
        """Whether a worker for a model is being started; False if the answer takes too long."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self.demand(model_id)), DEMAND_TIMEOUT_S)
        return False

    async def wait_changed(self, *, timeout_s: float) -> None:
        """Return after the next change of any worker, or at the timeout."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    async def wait_for_worker(self, *, timeout_s: float) -> None:
        """Return when a session could be served.

        Raises:
            VoiceplaneError: UNAVAILABLE, NO_WORKER: no worker became ready in that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not any(worker.takes_sessions and worker.ready for worker in self.workers()):
                    # A circuit breaker closes after a time, without a change of the worker.
                    await self.wait_changed(timeout_s=0.1)
        except TimeoutError:
            message = f"no worker became ready within {timeout_s:g} s: start one, or read its log"
            raise unavailable("NO_WORKER", message, retry_after_ms=1000) from None

    async def load(self, request: tts_pb2.LoadModelRequest, *, workers: Collection[str] = ()) -> dict[str, str]:
        """Load a model on several workers; it may take as long as they take.

        Args:
            request: The model. With a source, workers that do not know it load it, too.
            workers: Addresses of the workers to use; empty for those that know it or, with a source, all that have its
                family and its base model.

        Returns:
            The state by address.

        Raises:
            VoiceplaneError: NOT_FOUND: no worker knows it, or has its base model. FAILED_PRECONDITION,
                FAMILY_NOT_INSTALLED: no worker has its family. Or a worker's own.
        """
        addresses = load_targets(self.workers(), request, workers_asked=workers)

        async def one(worker: RoutedWorker) -> str:
            while True:
                try:
                    state = state_name((await worker.client.load_model(request)).model.state)
                except VoiceplaneError as error:
                    # The call's deadline, and not the load's: a fetch may take hours.
                    model = worker.view().model(request.model_id)
                    if error.reason == "DEADLINE_EXCEEDED" and model and model.state in LOAD_STATES:
                        continue
                    raise
                return state

        return await self._on_workers(request.model_id, one, addresses=addresses, wait_state=not request.no_wait)

    async def unload(self, model_id: str) -> dict[str, str]:
        """Unload a model on every worker that knows it; returns the state by address."""

        async def one(worker: RoutedWorker) -> str:
            return state_name((await worker.client.unload_model(model_id)).model.state)

        return await self._on_workers(model_id, one)

    async def reload(self, model_id: str) -> dict[str, str]:
        """Reload a model's voice pack on every worker that knows it; returns the state by address."""

        async def one(worker: RoutedWorker) -> str:
            await worker.client.reload_model(model_id)
            return "resident"

        return await self._on_workers(model_id, one)

    async def _on_workers(
        self,
        model_id: str,
        call: Callable[[RoutedWorker], Awaitable[str]],
        *,
        addresses: Collection[str] | None = None,
        wait_state: bool = True,
    ) -> dict[str, str]:
        """Call workers at the same time, and wait until their watched state shows it.

        Args:
            model_id: The model.
            call: What to do; returns the model's state.
            addresses: Of the workers; None for all that know the model.
            wait_state: Wait for that state; otherwise, only until the model is known.
        """
        if addresses is None:
            addresses = workers_with(self.workers(), model_id)
        workers = [self.worker(address) for address in addresses]

        async def seen(worker: RoutedWorker) -> str:
            state = await call(worker)
            await self._wait_reported(worker, model_id, state if wait_state else "")
            return state

        states = await asyncio.gather(*(seen(worker) for worker in workers), return_exceptions=True)
        errors = [state for state in states if isinstance(state, BaseException)]
        # Without a family in the request, every worker was asked: one that has it is enough.
        others = [error for error in errors if getattr(error, "reason", "") != "FAMILY_NOT_INSTALLED"]
        if errors and (others or len(errors) == len(states)):
            raise (others or errors)[0]
        return {
            worker.view().address: state
            for worker, state in zip(workers, states, strict=True)
            if not isinstance(state, BaseException)
        }

    async def _wait_reported(self, worker: RoutedWorker, model_id: str, state: str) -> None:
        """Return when the worker's watched state has the new state, so that the caller's next session uses it.

        An empty state stands for any.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                while (view := worker.view()).connected:
                    model = view.model(model_id)
                    if model is not None and state in {"", model.state}:
                        return
                    await self._changed.wait()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load_on(self, address: str, model_id: str) -> None:
        try:
            await self.worker(address).client.load_model(tts_pb2.LoadModelRequest(model_id=model_id, no_wait=True))
        except VoiceplaneError as error:  # the model's state shows it; the next session tries again
            _log.warning("load_failed", address=address, model_id=model_id, reason=error.reason)

    async def _follow(self) -> None:
        async for offers in self._discovery.watch():
            for address in offers.keys() - self._workers.keys():
                self._workers[address] = RoutedWorker(address, changed=self._notify, tls=self._tls)
            for address in self._workers.keys() - offers.keys():
                worker = self._workers.pop(address)
                self._leaving.add(worker)
                self._run(self._close_when_unused(worker))
            for address, is_open in offers.items():
                self._workers[address].open = is_open
            self._notify()

    async def _close_when_unused(self, worker: RoutedWorker) -> None:
        await worker.close_when_unused()
        self._leaving.discard(worker)

    def _notify(self) -> None:
        self._changed.set()
        self._changed.clear()
