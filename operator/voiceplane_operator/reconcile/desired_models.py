"""The models that each worker must have, as LoadModel requests, and their delivery to the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_operator.declarations import refusals, request_of, wanted_by

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Key
    from voiceplane_proto.v1 import tts_pb2

    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.resources import Model, Pool
    from voiceplane_operator.workers.fleet import Fleet


class DesiredModels:
    """What the VoiceModels ask of the workers.

    Attributes:
        all_listed: Whether all VoiceModels have been read. Before that, no worker gets an incomplete set: it would
            unload the models that are missing from it.
    """

    def __init__(self, *, store: Store, fleet: Fleet) -> None:
        self.all_listed = False
        self._store = store
        self._fleet = fleet
        self._requests: dict[Key, tuple[Model, Model | None, tts_pb2.LoadModelRequest]] = {}

    def update_refusals(self) -> None:
        """Find the VoiceModels that no worker gets, of all that are declared now."""
        self._store.refused = refusals(self._store.models.values())

    def request_of(self, model: Model) -> tts_pb2.LoadModelRequest:
        """The LoadModel request of a VoiceModel; the same object until the VoiceModel or its base changes."""
        lora = model.spec.lora
        base = self._store.models.get(model.key._replace(name=lora.base_model_ref.name)) if lora else None
        known = self._requests.get(model.key)
        if known is None or known[0] is not model or known[1] is not base:
            known = self._requests[model.key] = (model, base, request_of(model, base))
        return known[2]

    def models_of(self, pool: Pool) -> list[Model]:
        """The accepted VoiceModels that select a pool and fit into it."""
        return list(wanted_by(pool, self._store.models.values(), self._store.refused).values())

    def requests_of(self, pool: Pool) -> dict[str, tts_pb2.LoadModelRequest]:
        """What each worker of a pool must have, by model id."""
        return {model.model_id: self.request_of(model) for model in self.models_of(pool)}

    def send_to_workers(self, pool: Key) -> None:
        """Give each worker of a pool its desired models, once all VoiceModels are known."""
        known = self._store.pools.get(pool)
        if known is None or not self.all_listed:
            return
        requests = self.requests_of(known)
        for worker in self._fleet.workers_of(pool).values():
            worker.set_desired(requests)

    def forget(self, model: Key) -> None:
        """A VoiceModel was deleted."""
        self._requests.pop(model, None)
