"""Reconciles a VoiceModel: its status, from what the workers of its pools report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_operator.declarations import fits, selects
from voiceplane_operator.reconcile.conditions import rfc3339_now
from voiceplane_operator.reconcile.family_check import unavailable
from voiceplane_operator.reconcile.voicemodel_status import ModelInstance, model_status
from voiceplane_operator.workers.families import can_load

if TYPE_CHECKING:
    from voiceplane_operator.reconcile.desired_models import DesiredModels
    from voiceplane_operator.reconcile.status_writer import StatusWriter
    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.reconcile.work_queue import WorkItem
    from voiceplane_operator.resources import Model
    from voiceplane_operator.workers.fleet import Fleet
    from voiceplane_operator.workers.managed_worker import ManagedWorker


class VoiceModelReconciler:
    """Writes the status of one VoiceModel at a time. The workers get their models from DesiredModels."""

    def __init__(self, *, store: Store, fleet: Fleet, desired: DesiredModels, statuses: StatusWriter) -> None:
        self._store = store
        self._fleet = fleet
        self._desired = desired
        self._statuses = statuses

    async def reconcile(self, item: WorkItem) -> None:
        """Write the status of a VoiceModel.

        Raises:
            ApiError: The API server refused it.
        """
        model = self._store.models.get(item.key)
        if model is None or model.meta.deleting:
            return
        matching = [pool for pool in self._store.pools_of(model.key.namespace).values() if selects(model, pool)]
        pools = [pool for pool in matching if fits(model, pool)]
        declaration = self._desired.request_of(model).declaration
        connected = [
            (pool.key.name, worker)
            for pool in pools
            for worker in self._fleet.workers_of(pool.key).values()
            if worker.state is not None
        ]
        lora = model.spec.lora is not None
        instances = [
            _instance(model, pool, worker, declaration)
            for pool, worker in connected
            if can_load(worker.families, model.spec.family, lora=lora)
        ]
        refusal = self._store.refused.get(model.key)
        status = model_status(
            model,
            instances=[] if refusal else instances,
            pools=len(pools),
            too_small=len(matching) - len(pools),
            refusal=refusal,
            unavailable=unavailable(model, [worker.families for _, worker in connected]),
            now=rfc3339_now(),
        )
        await self._statuses.write(item, model.meta, before=model.status, status=status)


def _instance(model: Model, pool: str, worker: ManagedWorker, declaration: str) -> ModelInstance:
    status = worker.reported().get(model.model_id)
    retry = worker.retries.get(model.model_id)
    error = retry.error if retry and retry.declaration == declaration else None
    return ModelInstance(
        worker=worker.name,
        pool=pool,
        status=status,
        current=status is not None and status.declaration == declaration,
        usable=worker.usable,
        refusal=(error.reason.title().replace("_", ""), error.message) if error else None,
    )
