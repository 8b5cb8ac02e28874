"""The assembled operator: its watches, its queue, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

import kopf
import prometheus_client
from voiceplane_client import WorkerClient
from voiceplane_common import tracing
from voiceplane_common.addresses import listening
from voiceplane_common.kube.api import Api, ApiError
from voiceplane_common.kube.informer import Informer
from voiceplane_common.kube.names import API_VERSION
from voiceplane_common.logs import get_logger

from voiceplane_operator.handlers import operator_settings, registry_of
from voiceplane_operator.health import Health
from voiceplane_operator.metrics import Metrics
from voiceplane_operator.names import WORKER_SELECTOR
from voiceplane_operator.reconcile.controller import Controller
from voiceplane_operator.reconcile.store import Store
from voiceplane_operator.workers.fleet import Fleet

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Key

    from voiceplane_operator.settings import OperatorSettings
    from voiceplane_operator.workers.managed_worker import Connect

RETRY_S = 2.0

_log = get_logger("operator")


class EtcdRestored(RuntimeError):  # noqa: N818  # it names what happened
    """The API server's revision went back, as after a restore of etcd: what the operator has seen since is not true."""


class Operator:
    """The operator."""

    def __init__(self, settings: OperatorSettings, *, api: Api, connect: Connect | None = None) -> None:
        """Assemble it.

        Args:
            settings: Its settings.
            api: The API server.
            connect: Makes a client of a worker's address; None for one with the settings' TLS.
        """
        self.settings = settings
        self.metrics = Metrics(api_calls=lambda: api.calls)
        self._api = api
        self._store = Store()
        self._revision = 0
        self._store.export(self.metrics)
        self._fleet = Fleet(
            changed=self._pool_changed,
            metrics=self.metrics,
            connect=connect or functools.partial(WorkerClient, tls=settings.tls),
        )
        self.controller = Controller(api=api, store=self._store, fleet=self._fleet, metrics=self.metrics)
        self._informers = [
            informer
            for namespace in settings.namespace_list or (None,)
            for informer in (
                Informer(
                    api,
                    api_version="v1",
                    kind="Pod",
                    namespace=namespace,
                    selector=WORKER_SELECTOR,
                    changed=self._fleet.pod_changed,
                ),
                Informer(
                    api,
                    api_version="apps/v1",
                    kind="Deployment",
                    namespace=namespace,
                    selector=WORKER_SELECTOR,
                    changed=self.controller.deployment_changed,
                ),
            )
        ]
        self.health = Health(self._informers, stale_s=settings.stale_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop` is set.

        The informers list the pods before the custom resources are read: running workers must not count as missing.

        Raises:
            VoiceplaneError: UNAVAILABLE, ADDRESS_IN_USE.
            Exception: A task that must not end has ended; the process must be restarted.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._fleet.close)
            with listening(f"port {self.settings.health_port}", setting="health_port"):
                await self.health.serve(self.settings.health_port)
            stack.push_async_callback(self.health.close)
            if self.settings.metrics_port:
                with listening(f"port {self.settings.metrics_port}", setting="metrics_port"):
                    server, thread = prometheus_client.start_http_server(
                        self.settings.metrics_port, registry=self.metrics.registry
                    )
                stack.callback(thread.join)
                stack.callback(server.server_close)
                stack.callback(server.shutdown)
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(informer.run()) for informer in self._informers]
            stack.push_async_callback(_end, tasks)
            stopped = asyncio.create_task(_wait(stop))
            tasks.append(stopped)
            for task in tasks:
                task.add_done_callback(lambda _: stop.set())
            synced = asyncio.create_task(self._synced())
            await asyncio.wait([synced, stopped], return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                synced.cancel()
                _raise_first(tasks)
                return
            resyncing = asyncio.create_task(self._resync_forever())
            resyncing.add_done_callback(lambda _: stop.set())
            tasks.append(resyncing)
            await kopf.operator(
                registry=registry_of(self.controller, self._api),
                settings=operator_settings(),
                standalone=True,
                clusterwide=not self.settings.namespace_list,
                namespaces=self.settings.namespace_list,
                stop_flag=stop,
            )
            _raise_first(tasks)

    async def _synced(self) -> None:
        for informer in self._informers:
            await informer.synced.wait()

    def _pool_changed(self, pool: Key, model_ids: frozenset[str] | None) -> None:
        self.controller.pool_changed(pool, model_ids)

    async def _resync_forever(self) -> None:
        """List all custom resources, start the queue, and list them again periodically.

        The queue starts after the first complete list, since a VoiceModel may be listed before its pool. Later lists
        find the deletions that a broken watch has missed.
        """
        working: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    with tracing.new_trace("resync"):
                        await self._resync()
                    pause_s = float(self.settings.resync_seconds)
                except ApiError as error:
                    _log.warning("resync_failed", error=str(error))
                    pause_s = RETRY_S
                else:
                    if working is None:
                        _log.info("watching", namespaces=self.settings.namespace_list or "all")
                        working = asyncio.create_task(self.controller.queue.run(workers=self.settings.workers))
                await asyncio.sleep(pause_s)
        finally:
            if working:
                await _end([working])

    async def _resync(self) -> None:
        for kind, known in (("VoiceModel", self._store.models), ("TTSWorkerPool", self._store.pools)):
            for namespace in self.settings.namespace_list or (None,):
                before = [key for key in known if namespace in {None, key.namespace}]
                listed = await self._api.list(API_VERSION, kind, namespace)
                self._check_revision(int(listed["metadata"]["resourceVersion"]))
                items = listed["items"]
                present = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items}
                gone = [key for key in before if tuple(key) not in present]  # objects created since are not in `before`
                for key in gone:
                    body = {"metadata": {"namespace": key.namespace, "name": key.name}}
                    self.controller.observe(kind, body, gone=True)
                for item in items:
                    self.controller.observe(kind, item, gone=False)
        self.controller.resync()

    def _check_revision(self, revision: int) -> None:
        """Raise if etcd was restored: kopf's watches continue from their revision, and would get no events."""
        if revision < self._revision:
            message = (
                f"the API server went back from revision {self._revision} to {revision} (etcd restored): restarting"
            )
            raise EtcdRestored(message)
        self._revision = revision


def _raise_first(tasks: list[asyncio.Task[Any]]) -> None:
    """Raise the error of the first task that failed, if one did."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
