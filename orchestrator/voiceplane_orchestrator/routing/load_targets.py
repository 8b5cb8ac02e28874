"""Which workers load a model: a pure function of the known workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition, not_found, unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from voiceplane_proto.v1 import tts_pb2

    from voiceplane_orchestrator.routing.worker_view import WorkerView


def workers_with(workers: Sequence[WorkerView], model_id: str) -> list[str]:
    """The addresses of the connected workers that know a model.

    Raises:
        VoiceplaneError: NOT_FOUND, UNKNOWN_MODEL.
    """
    found = [worker.address for worker in workers if worker.connected and worker.model(model_id)]
    if not found:
        known = sorted({model.model_id for worker in workers for model in worker.models})
        message = f"no worker knows the model {model_id!r}: known models are {', '.join(known) or 'none'}"
        raise not_found("model", message, reason="UNKNOWN_MODEL")
    return found


def load_targets(
    workers: Sequence[WorkerView], request: tts_pb2.LoadModelRequest, *, workers_asked: Collection[str] = ()
) -> list[str]:
    """The addresses of the workers that load a model.

    Args:
        workers: All known workers.
        request: The model.
        workers_asked: Addresses that the caller has named; empty for those that can load it.

    Raises:
        VoiceplaneError: NOT_FOUND: an address, the model or its base is unknown. FAILED_PRECONDITION,
            FAMILY_NOT_INSTALLED. UNAVAILABLE: no worker is connected.
    """
    connected = [worker for worker in workers if worker.connected]
    if workers_asked:
        addresses = [worker.address for worker in connected]
        for address in workers_asked:
            if address not in addresses:
                message = f"there is no worker {address!r}: connected are {', '.join(addresses) or 'none'}"
                raise not_found("workers", message, reason="UNKNOWN_WORKER")
        return list(dict.fromkeys(workers_asked))
    if not request.source.uri:
        return workers_with(workers, request.model_id)
    if not connected:
        raise unavailable("NO_WORKER", "no worker is connected: start one, or read its log", retry_after_ms=1000)
    able = [worker for worker in connected if not request.family or request.family in worker.families]
    if not able:
        installed = sorted({family for worker in connected for family in worker.families})
        message = (
            f"no worker has the family {request.family!r}, only {', '.join(installed) or 'none'}: run a worker of its "
            "image, or install it beside a worker"
        )
        raise failed_precondition("FAMILY_NOT_INSTALLED", message, field="family")
    if not request.base_model_id:
        return [worker.address for worker in able]
    based = [worker.address for worker in able if worker.model(request.base_model_id)]
    if not based:
        message = f"no worker knows the base model {request.base_model_id!r}: load it first"
        raise not_found("base", message, reason="BASE_MODEL_NOT_FOUND")
    return based
