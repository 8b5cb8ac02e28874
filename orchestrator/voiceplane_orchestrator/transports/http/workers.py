"""/v1/models and /v1/workers: what the workers serve, and loading, unloading and reloading of models."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web
from voiceplane_common.errors import VoiceplaneError

from voiceplane_orchestrator.transports.auth import api_key_of
from voiceplane_orchestrator.transports.http.load_request import read_load_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView
    from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore

INTERNAL_FIELDS = frozenset({"models", "barred", "connected", "open", "full", "families"})
"""Fields of WorkerView that GET /v1/workers does not show."""


class WorkerEndpoints:
    """Serves /v1/models and /v1/workers."""

    def __init__(self, router: Router, *, api_keys: ApiKeyStore, is_local: bool) -> None:
        """Prepare.

        Args:
            router: Knows the workers.
            api_keys: Tells which keys are administrators'.
            is_local: Whether only this machine can reach the server.
        """
        self._router = router
        self._api_keys = api_keys
        self._is_local = is_local

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
        model_id = request.match_info["id"]
        if request.match_info["action"] == "load":
            return await self._load(request, model_id)
        actions: dict[str, Callable[[str], Awaitable[dict[str, str]]]] = {
            "unload": self._router.unload,
            "reload": self._router.reload,
        }
        return web.json_response({"id": model_id, "workers": await actions[request.match_info["action"]](model_id)})

    async def _load(self, request: web.Request, model_id: str) -> web.Response:
        """Load a model that workers know; with a body that describes it, also one that they don't."""
        wanted = read_load_request(await request.read())
        if wanted.declares:
            self._check_admin(request)
        states = await self._router.load(wanted.message(model_id), workers=wanted.workers)
        return web.json_response({"id": model_id, "workers": states}, status=200 if wanted.wait else 202)

    def _check_admin(self, request: web.Request) -> None:
        """A source can be any file of the worker's host, so that not every key may name one."""
        if self._api_keys.is_admin(api_key_of(request)) or (self._api_keys.is_open and self._is_local):
            return
        message = (
            "a load that describes its model needs an administrator's key: make one with `voiceplane keys new NAME "
            "--admin --file FILE`, or set auth.admin_keys"
        )
        raise VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_KEY_NEEDED", message)

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
        "availability": model.availability,
        "reason": model.reason,
        "message": model.message,
        "references": model.references,
        "memory_bytes": model.memory_bytes,
        "fetched_bytes": model.fetched_bytes,
        "fetch_bytes": model.fetch_bytes,
        "fetch_bytes_per_s": model.fetch_bytes_per_s,
        "prefetched": model.prefetched,
    }
