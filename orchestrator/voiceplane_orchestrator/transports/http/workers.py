"""/v1/models and /v1/workers: what the workers serve, and loading, unloading and reloading of models."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView

INTERNAL_FIELDS = frozenset({"models", "barred", "connected", "open", "full"})
"""Fields of WorkerView that GET /v1/workers does not show."""


class WorkerEndpoints:
    """Serves /v1/models and /v1/workers."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def list_models(self) -> list[dict[str, Any]]:
        """Each model with its voices, and its state on each worker, by id."""
        models: dict[str, dict[str, object]] = {}
        on_workers: dict[str, list[dict[str, object]]] = {}
        for worker in self._router.workers():
            for model in worker.models:
                models.setdefault(model.model_id, _model(model))
                on_workers.setdefault(model.model_id, []).append(_model_on_worker(model, worker))
        return [models[name] | {"workers": on_workers[name]} for name in sorted(models)]

    async def change_model(self, request: web.Request) -> web.Response:
        """POST /v1/models/{id}/load, unload or reload."""
        actions: dict[str, Callable[[str], Awaitable[dict[str, str]]]] = {
            "load": self._router.load,
            "unload": self._router.unload,
            "reload": self._router.reload,
        }
        model_id = request.match_info["id"]
        return web.json_response({"id": model_id, "workers": await actions[request.match_info["action"]](model_id)})

    async def workers(self, _request: web.Request) -> web.Response:
        """GET /v1/workers."""
        return web.json_response(
            {
                "workers": [
                    {name: value for name, value in dataclasses.asdict(worker).items() if name not in INTERNAL_FIELDS}
                    for worker in self._router.workers()
                ]
            }
        )


def _model(model: ModelView) -> dict[str, object]:
    return {
        "id": model.model_id,
        "family": model.family,
        "is_default": model.is_default,
        "voices": [dataclasses.asdict(voice) for voice in model.voices],
        "languages": sorted(model.languages or {voice.language for voice in model.voices}),
    }


def _model_on_worker(model: ModelView, worker: WorkerView) -> dict[str, object]:
    return {
        "worker": worker.address,
        "state": model.state,
        "reason": model.reason,
        "message": model.message,
        "references": model.references,
        "memory_bytes": model.memory_bytes,
        "fetched_bytes": model.fetched_bytes,
        "fetch_bytes": model.fetch_bytes,
    }
