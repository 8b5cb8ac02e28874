"""Reconciles a TTSWorkerPool: the objects that it owns, its size, and its status."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from voiceplane_common.kube.api import ApiError
from voiceplane_common.models_file import dump_models_file

from voiceplane_operator.builders.objects import owned_objects
from voiceplane_operator.builders.pod import pod_template, template_hash
from voiceplane_operator.names import DELETION_COST
from voiceplane_operator.reconcile.autoscale import Load, Scale, autoscaled
from voiceplane_operator.reconcile.conditions import rfc3339_now
from voiceplane_operator.reconcile.family_check import missing_in_pool
from voiceplane_operator.reconcile.workerpool_status import ObservedPool, pool_status

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api, Key

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.reconcile.desired_models import DesiredModels
    from voiceplane_operator.reconcile.status_writer import StatusWriter
    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.reconcile.work_queue import WorkItem, WorkQueue
    from voiceplane_operator.resources import Pool
    from voiceplane_operator.workers.fleet import Fleet

# A session that waits for a worker renews its demand again and again; once it has one, the session itself is the load.
DEMAND_TTL_S = 120.0
# The cluster's controllers read the deletion cost through a watch of their own, and do not report when they have it.
DELETION_COST_SETTLES_S = 0.5
# Statuses of the API server that mean that it will not accept the manifest as it is.
REFUSED_STATUSES = frozenset({400, 403, 404, 422})


class Applied(NamedTuple):
    """A manifest that was applied.

    Attributes:
        digest: Of the manifest.
        generation: Of the object after that. A later one means that another client changed its spec.
    """

    digest: str
    generation: int


class WorkerPoolReconciler:
    """Reconciles one TTSWorkerPool at a time."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        fleet: Fleet,
        metrics: Metrics,
        desired: DesiredModels,
        statuses: StatusWriter,
        queue: WorkQueue,
    ) -> None:
        self.deployments: dict[Key, dict[str, Any]] = {}
        self._api = api
        self._store = store
        self._fleet = fleet
        self._metrics = metrics
        self._desired = desired
        self._statuses = statuses
        self._queue = queue
        self._applied: dict[tuple[Key, str], Applied] = {}
        self._scales: dict[Key, Scale] = {}

    def deployment_changed(self, pool: Key, deployment: dict[str, Any] | None) -> None:
        """A pool's Deployment was created or changed; None: it was deleted."""
        if deployment is None:
            self.deployments.pop(pool, None)
            self._applied.pop((pool, "Deployment"), None)
        else:
            self.deployments[pool] = deployment

    def forget(self, pool: Key) -> None:
        """A pool was deleted."""
        self._scales.pop(pool, None)
        for applied in [each for each in self._applied if each[0] == pool]:
            del self._applied[applied]

    def forget_applied(self) -> None:
        """Apply all manifests again: another client may have changed an owned object."""
        self._applied.clear()

    async def reconcile(self, item: WorkItem) -> None:
        """Apply the objects that a pool owns, and write its status.

        Raises:
            ApiError: The API server refused a manifest or the status. The pool's condition reports it, too.
        """
        pool = self._store.pools.get(item.key)
        if pool is None or pool.meta.deleting:
            return
        self._desired.send_to_workers(pool.key)
        replicas = self._replicas(item, pool)
        problem = ""
        await self._set_deletion_costs(pool, replicas)
        file = dump_models_file(self._desired.requests_of(pool).values())
        for manifest in owned_objects(pool, models_file=file, replicas=replicas):
            try:
                await self._apply(pool, manifest)
            except ApiError as error:
                if error.status not in REFUSED_STATUSES:
                    raise
                problem = problem or f"the API server refuses the {manifest['kind']}: {error.message}"
        connected = {
            name: worker for name, worker in self._fleet.workers_of(pool.key).items() if worker.state is not None
        }
        families = {name: worker.families for name, worker in connected.items()}
        models = self._desired.models_of(pool)
        observed = ObservedPool(
            deployment=self.deployments.get(pool.key),
            pods=self._fleet.pods_of(pool.key),
            workers=[worker.state for worker in connected.values() if worker.state is not None],
            families=frozenset().union(*families.values()),
            blocked=missing_in_pool(pool, models, families, gating=True),
            missing=missing_in_pool(pool, models, families, gating=False),
            template_hash=template_hash(pod_template(pool)),
            replicas=replicas,
            problem=problem,
        )
        status = pool_status(pool, observed, now=rfc3339_now())
        await self._statuses.write(item, pool.meta, before=pool.status, status=status)
        if problem:
            raise ApiError(422, "Invalid", problem)  # requeued with backoff: what is missing may appear later

    def _replicas(self, item: WorkItem, pool: Pool) -> int:
        """How many workers a pool should have. Requeues the pool for when a scale-down falls due."""
        if pool.spec.autoscaling is None:
            self._scales.pop(pool.key, None)
            return pool.spec.starting_replicas
        deployment = self.deployments.get(pool.key) or {}
        # After a restart of the operator, the Deployment says how many workers were wanted.
        present = (deployment.get("spec") or {}).get("replicas", pool.spec.starting_replicas)
        before = self._scales.get(pool.key) or Scale(replicas=present)
        states = [worker.state for worker in self._fleet.workers_of(pool.key).values() if worker.state]
        demand_s = _demand_left_s(pool.meta.demand_at)
        load = Load(
            sessions=sum(state.load.sessions for state in states),
            queue_depth=sum(state.load.queue_depth for state in states),
            complete=len(states) >= (deployment.get("status") or {}).get("readyReplicas", 0),
            demanded=demand_s > 0,
        )
        now = asyncio.get_running_loop().time()
        scale = autoscaled(
            pool.spec.autoscaling, load, present=before.replicas, too_many_since=before.too_many_since, now=now
        )
        self._scales[pool.key] = scale
        if demand_s > 0:
            self._queue.add_later(item, demand_s)
        if scale.due is not None:
            self._queue.add_later(item, scale.due - now)
        return scale.replicas

    async def _apply(self, pool: Pool, manifest: dict[str, Any]) -> None:
        """Apply a manifest, unless the same one was applied and no other client has changed the object since."""
        kind = manifest["kind"]
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        applied = self._applied.get((pool.key, kind))
        if applied and applied.digest == digest:
            present = self.deployments.get(pool.key) if kind == "Deployment" else None
            if present is None or present["metadata"]["generation"] <= applied.generation:
                return
            self._metrics.drift.labels(kind=kind).inc()
        answer = await self._api.apply(manifest)
        self._applied[pool.key, kind] = Applied(digest, answer["metadata"].get("generation", 0))

    async def _set_deletion_costs(self, pool: Pool, replicas: int) -> None:
        """Before a scale-down, mark the pods with the fewest sessions as the first to delete."""
        workers = self._fleet.workers_of(pool.key)
        pods = self._fleet.pods_of(pool.key)
        if len(pods) <= replicas:
            return
        changed = False
        for name, pod in pods.items():
            state = workers[name].state if name in workers else None
            cost = str(state.load.sessions if state else 0)
            present = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
            if cost != present:
                await self._api.annotate("v1", "Pod", pool.key.namespace, name, {DELETION_COST: cost})
                changed = True
        if changed:
            await asyncio.sleep(DELETION_COST_SETTLES_S)


def _demand_left_s(demand_at: str) -> float:
    """For how many more seconds a session's demand for a worker counts; 0 or less: no more."""
    try:
        since = datetime.fromisoformat(demand_at)
    except ValueError:
        return 0.0
    if since.tzinfo is None:
        return 0.0
    return DEMAND_TTL_S - max(0.0, (datetime.now(UTC) - since).total_seconds())
