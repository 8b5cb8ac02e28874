"""Makes the cluster what the custom resources say. Every job starts from what is, not from what has changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from voiceplane_common import tracing
from voiceplane_common.kube.api import ApiError, Key
from voiceplane_common.kube.names import API_VERSION

from voiceplane_operator.builders.objects import owned_objects
from voiceplane_operator.builders.pod import pod_template, template_hash
from voiceplane_operator.declarations import fits, models_file, refusals, request_of, selects, wanted_by
from voiceplane_operator.events import tell
from voiceplane_operator.names import DELETION_COST
from voiceplane_operator.reconcile.autoscale import Load, Scale, autoscaled
from voiceplane_operator.reconcile.model_status import Seen, model_status
from voiceplane_operator.reconcile.pool_status import PoolView, pool_status
from voiceplane_operator.reconcile.queue import Job, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.kube.api import Api
    from voiceplane_proto.v1 import tts_pb2

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.resources import Meta, Model, Pool
    from voiceplane_operator.workers.fleet import Fleet
    from voiceplane_operator.workers.managed_worker import ManagedWorker

# What changes with every session is written at most this often; everything else at once.
VOLATILE_EVERY_S = 10.0
# A session that waits for a worker says so again and again; once it has one, the session itself is the load.
DEMAND_LASTS_S = 120.0
VOLATILE = frozenset({"sessions", "queueDepth", "lastUsed", "expiresAt", "references"})
# News of several objects within this time are acted upon together.
GATHER_S = 0.01
# The cluster's controllers learn of a rank by a watch of their own; nothing tells when they have.
RANK_SETTLES_S = 0.5
INVALID = frozenset({400, 403, 404, 422})


class Applied(NamedTuple):
    """A manifest that has been applied.

    Attributes:
        digest: Of the manifest.
        generation: Of the object after that. A later one means that somebody else has changed its spec.
    """

    digest: str
    generation: int


class Controller:
    """Reconciles one pool or one model at a time."""

    def __init__(self, *, api: Api, store: Store, fleet: Fleet, metrics: Metrics) -> None:
        """Prepare.

        Args:
            api: The API server.
            store: What is declared.
            fleet: What runs.
            metrics: Counts.
        """
        self._api = api
        self._store = store
        self._fleet = fleet
        self._metrics = metrics
        self.queue = WorkQueue(self.reconcile, metrics=metrics)
        self.deployments: dict[Key, dict[str, Any]] = {}
        self._applied: dict[tuple[Key, str], Applied] = {}
        self._written: dict[Job, float] = {}
        self._scales: dict[Key, Scale] = {}
        self._made: dict[Key, tuple[Model, Model | None, tts_pb2.LoadModelRequest]] = {}
        self._complete = False
        self._news: set[str] = set()

    # ------------------------------------------------------------ what has changed

    def noted(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> None:
        """A custom resource is new, changed or gone."""
        key, declared = self._store.note(kind, body, gone=gone)
        if gone:
            self._forget(kind, key)
        if declared:
            self._ask_for_all_of(key.namespace)
        elif not gone:
            self.queue.add(Job(kind, key))

    def deployment_changed(self, key: Key, deployment: dict[str, Any] | None) -> None:
        """A Deployment of ours is new, changed or gone."""
        pool = Key(key.namespace, key.name.removesuffix("-tts"))
        if deployment is None:
            self.deployments.pop(pool, None)
            self._applied.pop((pool, "Deployment"), None)
        else:
            self.deployments[pool] = deployment
        self.queue.add(Job("TTSWorkerPool", pool))

    def pool_changed(self, pool: Key, model_ids: frozenset[str] | None) -> None:
        """A worker of a pool is new, changed or gone.

        Args:
            pool: The pool.
            model_ids: The models of which the worker says something new; None for all.
        """
        self.queue.add(Job("TTSWorkerPool", pool))
        store = self._store
        keys = store.models_of(pool.namespace) if model_ids is None else store.model_keys(pool.namespace, model_ids)
        for key in keys:
            self.queue.add(Job("VoiceModel", key))

    def resync(self) -> None:
        """All that is declared is known: look at everything again, and write again what others may have changed."""
        self._complete = True
        self._judge()
        self._applied.clear()
        for key in self._store.pools:
            self.tell_workers(key)
            self.queue.add(Job("TTSWorkerPool", key))
        for key in self._store.models:
            self.queue.add(Job("VoiceModel", key))

    def _ask_for_all_of(self, namespace: str) -> None:
        """Soon, and once for all news that come together: many are declared by one `kubectl apply`."""
        if not self._news:
            asyncio.get_running_loop().call_later(GATHER_S, self._spread)
        self._news.add(namespace)

    def _spread(self) -> None:
        """Tell workers before anything is written: a voice must not wait for the API server."""
        namespaces, self._news = self._news, set()
        self._judge()
        with tracing.whole("tell_workers", namespaces=",".join(sorted(namespaces))):
            for namespace in namespaces:
                for key in self._store.pools_of(namespace):
                    self.tell_workers(key)
        for namespace in namespaces:
            for key in self._store.pools_of(namespace):
                self.queue.renew(Job("TTSWorkerPool", key))
            for key in self._store.models_of(namespace):
                self.queue.renew(Job("VoiceModel", key))

    def _judge(self) -> None:
        self._store.refused = refusals(self._store.models.values())

    def _forget(self, kind: str, key: Key) -> None:
        job = Job(kind, key)
        self.queue.forget(job)
        self._written.pop(job, None)
        if kind == "TTSWorkerPool":
            self._scales.pop(key, None)
            for applied in [each for each in self._applied if each[0] == key]:
                del self._applied[applied]
        else:
            self._made.pop(key, None)

    # ------------------------------------------------------------ what is done

    async def reconcile(self, job: Job) -> None:
        """Bring one object to what it should be, and say how it is."""
        try:
            if job.kind == "TTSWorkerPool":
                await self._reconcile_pool(job)
            else:
                await self._reconcile_model(job)
        except ApiError as error:
            if error.status != 404:  # the object has gone meanwhile, and its event is on its way
                raise

    def tell_workers(self, pool: Key) -> None:
        """Say to each worker of a pool what it is to have; not before all of it is known, since the rest must go."""
        known = self._store.pools.get(pool)
        if known is None or not self._complete:
            return
        wanted = self._requests(known)
        for link in self._fleet.links_of(pool).values():
            link.want(wanted)

    def _requests(self, pool: Pool) -> dict[str, tts_pb2.LoadModelRequest]:
        models = self._store.models
        wanted = wanted_by(pool, models.values(), self._store.refused)
        return {model_id: self._request(model) for model_id, model in wanted.items()}

    def _request(self, model: Model) -> tts_pb2.LoadModelRequest:
        """What workers are asked for, made once for as long as the declaration stands."""
        base = self._base_of(model)
        made = self._made.get(model.key)
        if made is None or made[0] is not model or made[1] is not base:
            made = self._made[model.key] = (model, base, request_of(model, base))
        return made[2]

    def _base_of(self, model: Model) -> Model | None:
        lora = model.spec.lora
        return self._store.models.get(model.key._replace(name=lora.base_model_ref.name)) if lora else None

    async def _reconcile_pool(self, job: Job) -> None:
        pool = self._store.pools.get(job.key)
        if pool is None or pool.meta.deleting:
            return
        self.tell_workers(pool.key)
        replicas = self._replicas(job, pool)
        problem = ""
        await self._rank_for_scale_down(pool, replicas)
        for manifest in owned_objects(pool, models_file=models_file(self._requests(pool).values()), replicas=replicas):
            try:
                await self._apply(pool, manifest)
            except ApiError as error:
                if error.status not in INVALID:
                    raise
                problem = problem or f"the API server refuses the {manifest['kind']}: {error.message}"
        view = PoolView(
            deployment=self.deployments.get(pool.key),
            pods=self._fleet.pods_of(pool.key),
            workers=[link.state for link in self._fleet.links_of(pool.key).values() if link.state],
            template_hash=template_hash(pod_template(pool)),
            replicas=replicas,
            problem=problem,
        )
        await self._write(job, pool.meta, before=pool.status, status=pool_status(pool, view, now=_now()))
        if problem:
            raise ApiError(422, "Invalid", problem)  # comes back later: what was missing may have been made

    def _replicas(self, job: Job, pool: Pool) -> int:
        """How many workers a pool should have; comes back when a scale-down falls due."""
        if pool.spec.autoscaling is None:
            self._scales.pop(pool.key, None)
            return pool.spec.starting_replicas
        deployment = self.deployments.get(pool.key) or {}
        # After a restart, what there is says how many were wanted.
        present = (deployment.get("spec") or {}).get("replicas", pool.spec.starting_replicas)
        before = self._scales.get(pool.key) or Scale(replicas=present)
        states = [link.state for link in self._fleet.links_of(pool.key).values() if link.state]
        demand_lasts_s = _demand_lasts_s(pool.meta.demand_at)
        load = Load(
            sessions=sum(state.load.sessions for state in states),
            queue_depth=sum(state.load.queue_depth for state in states),
            complete=len(states) >= (deployment.get("status") or {}).get("readyReplicas", 0),
            demanded=demand_lasts_s > 0,
        )
        now = asyncio.get_running_loop().time()
        scale = autoscaled(
            pool.spec.autoscaling, load, present=before.replicas, too_many_since=before.too_many_since, now=now
        )
        self._scales[pool.key] = scale
        if demand_lasts_s > 0:
            self.queue.add_later(job, demand_lasts_s)
        if scale.due is not None:
            self.queue.add_later(job, scale.due - now)
        return scale.replicas

    async def _reconcile_model(self, job: Job) -> None:
        model = self._store.models.get(job.key)
        if model is None or model.meta.deleting:
            return
        matching = [pool for pool in self._store.pools_of(model.key.namespace).values() if selects(model, pool)]
        pools = [pool for pool in matching if fits(model, pool)]
        declaration = self._request(model).declaration
        seen = [
            _seen(model, pool.key.name, link, declaration)
            for pool in pools
            for link in self._fleet.links_of(pool.key).values()
            if link.state is not None and model.spec.family in link.families
        ]
        refusal = self._store.refused.get(model.key)
        status = model_status(
            model,
            seen=[] if refusal else seen,
            pools=len(pools),
            too_small=len(matching) - len(pools),
            refusal=refusal,
            now=_now(),
        )
        await self._write(job, model.meta, before=model.status, status=status)

    async def _apply(self, pool: Pool, manifest: dict[str, Any]) -> None:
        """Apply a manifest, unless the same one has been and nobody has changed it since."""
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

    async def _rank_for_scale_down(self, pool: Pool, replicas: int) -> None:
        """Before pods have to go, say which ones have the least to do."""
        links = self._fleet.links_of(pool.key)
        pods = self._fleet.pods_of(pool.key)
        if len(pods) <= replicas:
            return
        ranked = False
        for name, pod in pods.items():
            state = links[name].state if name in links else None
            cost = str(state.load.sessions if state else 0)
            present = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
            if cost != present:
                await self._api.annotate("v1", "Pod", pool.key.namespace, name, {DELETION_COST: cost})
                ranked = True
        if ranked:
            await asyncio.sleep(RANK_SETTLES_S)

    async def _write(self, job: Job, meta: Meta, *, before: Mapping[str, Any], status: dict[str, Any]) -> None:
        """Write a status that says something new, and tell people of a change that matters to them."""
        if before == status:
            return
        now = asyncio.get_running_loop().time()
        if _lasting(before) == _lasting(status):
            wait_s = self._written.get(job, -VOLATILE_EVERY_S) + VOLATILE_EVERY_S - now
            if wait_s > 0:
                self.queue.add_later(job, wait_s)
                return
        self._written[job] = now
        namespace, name = job.key
        body = await self._api.replace_status(API_VERSION, job.kind, namespace, name, uid=meta.uid, status=status)
        self._store.note(job.kind, body, gone=False)
        old, new = _condition(before, "Ready"), _condition(status, "Ready")
        if (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            warning = _condition(status, "Degraded").get("status") == "True"
            await tell(self._api, job.kind, meta, warning=warning, reason=new["reason"], message=new["message"])


def _seen(model: Model, pool: str, link: ManagedWorker, declaration: str) -> Seen:
    status = link.reported().get(model.model_id)
    setback = link.setbacks.get(model.model_id)
    refused = setback.error if setback and setback.declaration == declaration else None
    return Seen(
        worker=link.name,
        pool=pool,
        status=status,
        current=status is not None and status.declaration == declaration,
        usable=link.usable,
        refusal=(refused.reason.title().replace("_", ""), refused.message) if refused else None,
    )


def _lasting(value: Any) -> Any:
    """A status without what changes with every session."""
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    return value


def _condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next((dict(each) for each in status.get("conditions") or () if each["type"] == kind), {})


def _demand_lasts_s(demand_at: str) -> float:
    """For how many more seconds a session's wish for a worker counts; 0 or less: no more."""
    try:
        since = datetime.fromisoformat(demand_at)
    except ValueError:
        return 0.0
    if since.tzinfo is None:
        return 0.0
    return DEMAND_LASTS_S - max(0.0, (datetime.now(UTC) - since).total_seconds())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
