"""Turns each change of a custom resource, a Deployment or a worker into work for the queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from voiceplane_common import tracing
from voiceplane_common.kube.api import ApiError, Key

from voiceplane_operator.reconcile.desired_models import DesiredModels
from voiceplane_operator.reconcile.status_writer import StatusWriter
from voiceplane_operator.reconcile.voicemodel import VoiceModelReconciler
from voiceplane_operator.reconcile.work_queue import WorkItem, WorkQueue
from voiceplane_operator.reconcile.workerpool import WorkerPoolReconciler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.kube.api import Api

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.workers.fleet import Fleet

# Changes of several objects within this time are handled together.
BATCH_S = 0.01


class Controller:
    """Enqueues what a change affects, and reconciles one object at a time."""

    def __init__(self, *, api: Api, store: Store, fleet: Fleet, metrics: Metrics) -> None:
        """Connect the parts.

        Args:
            api: The API server.
            store: The declared objects.
            fleet: The running workers.
            metrics: Counts.
        """
        self._store = store
        self.queue = WorkQueue(self.reconcile, metrics=metrics)
        self._desired = DesiredModels(store=store, fleet=fleet)
        self._statuses = StatusWriter(api=api, store=store, queue=self.queue)
        self._models = VoiceModelReconciler(store=store, fleet=fleet, desired=self._desired, statuses=self._statuses)
        self._pools = WorkerPoolReconciler(
            api=api,
            store=store,
            fleet=fleet,
            metrics=metrics,
            desired=self._desired,
            statuses=self._statuses,
            queue=self.queue,
        )
        self._changed_namespaces: set[str] = set()

    async def reconcile(self, item: WorkItem) -> None:
        """Bring one object to its desired state, and write its status."""
        try:
            if item.kind == "TTSWorkerPool":
                await self._pools.reconcile(item)
            else:
                await self._models.reconcile(item)
        except ApiError as error:
            if error.status != 404:  # the object was deleted in the meantime, and its event is on its way
                raise

    def observe(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> None:
        """A custom resource was created, changed or deleted."""
        key, changed = self._store.observe(kind, body, gone=gone)
        if gone:
            self._forget(WorkItem(kind, key))
        if changed:
            self._enqueue_namespace_soon(key.namespace)
        elif not gone:
            self.queue.add(WorkItem(kind, key))

    def deployment_changed(self, key: Key, deployment: dict[str, Any] | None) -> None:
        """A Deployment of a pool was created, changed or deleted."""
        pool = Key(key.namespace, key.name.removesuffix("-tts"))
        self._pools.deployment_changed(pool, deployment)
        self.queue.add(WorkItem("TTSWorkerPool", pool))

    def pool_changed(self, pool: Key, model_ids: frozenset[str] | None) -> None:
        """A worker of a pool appeared, changed or went away.

        Args:
            pool: The pool.
            model_ids: The models whose state on the worker changed; None for all.
        """
        self.queue.add(WorkItem("TTSWorkerPool", pool))
        store = self._store
        keys = store.models_of(pool.namespace) if model_ids is None else store.model_keys(pool.namespace, model_ids)
        for key in keys:
            self.queue.add(WorkItem("VoiceModel", key))

    def resync(self) -> None:
        """All objects have been listed: reconcile all of them, and apply again what others may have changed."""
        self._desired.all_listed = True
        self._desired.update_refusals()
        self._pools.forget_applied()
        for key in self._store.pools:
            self._desired.send_to_workers(key)
            self.queue.add(WorkItem("TTSWorkerPool", key))
        for key in self._store.models:
            self.queue.add(WorkItem("VoiceModel", key))

    def _enqueue_namespace_soon(self, namespace: str) -> None:
        """Handle changes that arrive together once: one `kubectl apply` may declare many objects."""
        if not self._changed_namespaces:
            asyncio.get_running_loop().call_later(BATCH_S, self._enqueue_changed_namespaces)
        self._changed_namespaces.add(namespace)

    def _enqueue_changed_namespaces(self) -> None:
        """Call the workers before anything is written: a voice must not wait for the API server."""
        namespaces, self._changed_namespaces = self._changed_namespaces, set()
        self._desired.update_refusals()
        with tracing.new_trace("update_workers", namespaces=",".join(sorted(namespaces))):
            for namespace in namespaces:
                for key in self._store.pools_of(namespace):
                    self._desired.send_to_workers(key)
        for namespace in namespaces:
            for key in self._store.pools_of(namespace):
                self.queue.add_now(WorkItem("TTSWorkerPool", key))
            for key in self._store.models_of(namespace):
                self.queue.add_now(WorkItem("VoiceModel", key))

    def _forget(self, item: WorkItem) -> None:
        self.queue.forget(item)
        self._statuses.forget(item)
        if item.kind == "TTSWorkerPool":
            self._pools.forget(item.key)
        else:
            self._desired.forget(item.key)
