"""All workers of the cluster: a ManagedWorker for each pod that has an address."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from voiceplane_client import WorkerClient
from voiceplane_common.kube.api import Key

from voiceplane_operator.names import GRPC_PORT, POOL_LABEL
from voiceplane_operator.workers.managed_worker import ManagedWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.workers.managed_worker import Connect

GONE_PHASES = frozenset({"Succeeded", "Failed"})


class Fleet:
    """The workers by pod.

    Attributes:
        pods: The worker pods as they were last seen.
    """

    def __init__(
        self,
        *,
        changed: Callable[[Key, frozenset[str] | None], None],
        metrics: Metrics,
        connect: Connect = WorkerClient,
    ) -> None:
        """Prepare.

        Args:
            changed: Called with the pool of a worker that changed, and the ids of the models that changed on it (None:
                all).
            metrics: Counts.
            connect: Makes a client of an address.
        """
        self.pods: dict[Key, dict[str, Any]] = {}
        self._changed = changed
        self._metrics = metrics
        self._connect = connect
        self._workers: dict[Key, ManagedWorker] = {}
        self._closing: set[asyncio.Task[None]] = set()
        metrics.workers_reachable.set_function(self._reachable)

    def pod_changed(self, key: Key, pod: dict[str, Any] | None) -> None:
        """A pod was created, changed or deleted (None)."""
        before = self.pods.get(key)
        address = address_of(pod) if pod else None
        worker = self._workers.get(key)
        if worker and worker.address != address:
            del self._workers[key]
            self._close(worker)
            worker = None
        if pod is None:
            self.pods.pop(key, None)
        else:
            self.pods[key] = pod
            if address and worker is None:
                self._open(key, address)
        self._metrics.workers.set(len(self._workers))
        for each in filter(None, (before, pod)):
            self._changed(pool_of(each, key), None)

    def pods_of(self, pool: Key) -> dict[str, dict[str, Any]]:
        """A pool's pods by name, without those that have ended."""
        return {
            key.name: pod
            for key, pod in sorted(self.pods.items())
            if pool_of(pod, key) == pool and pod["status"].get("phase") not in GONE_PHASES
        }

    def workers_of(self, pool: Key) -> dict[str, ManagedWorker]:
        """A pool's workers, by pod."""
        return {
            name: worker
            for name in self.pods_of(pool)
            if (worker := self._workers.get(Key(pool.namespace, name))) is not None
        }

    async def close(self) -> None:
        """Disconnect from all."""
        for worker in self._workers.values():
            self._close(worker)
        self._workers.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _reachable(self) -> int:
        return sum(worker.state is not None for worker in list(self._workers.values()))

    def _open(self, key: Key, address: str) -> None:
        worker = ManagedWorker(
            name=key.name,
            address=address,
            changed=lambda model_ids: self._worker_changed(key, model_ids),
            metrics=self._metrics,
            connect=self._connect,
        )
        self._workers[key] = worker
        worker.start()

    def _worker_changed(self, key: Key, model_ids: frozenset[str] | None) -> None:
        if pod := self.pods.get(key):  # a worker may report a last change after its pod is gone
            self._changed(pool_of(pod, key), model_ids)

    def _close(self, worker: ManagedWorker) -> None:
        task = asyncio.create_task(worker.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def pool_of(pod: dict[str, Any], key: Key) -> Key:
    """The pool that a pod belongs to."""
    return Key(key.namespace, pod["metadata"]["labels"].get(POOL_LABEL, ""))


def address_of(pod: dict[str, Any]) -> str | None:
    """The address of a pod's worker; None before the pod has an address and after it has ended."""
    status = pod["status"]
    ip = status.get("podIP")
    if not ip or status.get("phase") in GONE_PHASES:
        return None
    return f"[{ip}]:{GRPC_PORT}" if ":" in ip else f"{ip}:{GRPC_PORT}"
