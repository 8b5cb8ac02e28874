"""What the server offers, as OpenAI's clients and Open WebUI ask for it: models and voices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from voiceplane_common.errors import not_found

if TYPE_CHECKING:
    from voiceplane_orchestrator.transports.http.voice_names import VoiceNames
    from voiceplane_orchestrator.transports.http.workers import WorkerEndpoints

OWNER = "voiceplane"


class ModelEndpoints:
    """Serves GET /v1/models, /v1/models/{id}, /v1/audio/models and /v1/audio/voices."""

    def __init__(self, workers: WorkerEndpoints, *, names: VoiceNames, asr_models: tuple[str, ...]) -> None:
        """Prepare.

        Args:
            workers: Knows the models, with their state on each worker.
            names: Knows the aliases.
            asr_models: Names that transcriptions accept.
        """
        self._workers = workers
        self._names = names
        self._asr_models = asr_models
        # OpenAI's clients require the time at which a model was made. Ours appear with the server.
        self._created = int(time.time())

    async def models(self, _request: web.Request) -> web.Response:
        """GET /v1/models: each model with its voices and its state on each worker, then the aliases."""
        models = self._workers.list_models()
        return web.json_response({"object": "list", "data": self._entries(models), "models": models})

    async def model(self, request: web.Request) -> web.Response:
        """GET /v1/models/{id}: one entry of the list."""
        name = request.match_info["id"]
        for entry in self._entries(self._workers.list_models()):
            if entry["id"] == name:
                return web.json_response(entry)
        raise not_found("id", f"there is no model {name!r}: GET /v1/models lists them", reason="UNKNOWN_MODEL")

    async def audio_models(self, _request: web.Request) -> web.Response:
        """GET /v1/audio/models: the models that speak, as Open WebUI asks for them."""
        names = [str(entry["id"]) for entry in self._entries(self._workers.list_models()) if entry["task"] == "speech"]
        return web.json_response({"models": [{"id": name, "name": name} for name in names]})

    async def voices(self, request: web.Request) -> web.Response:
        """GET /v1/audio/voices: the voices of all models, or of the one in the query `model`."""
        models = self._workers.list_models()
        if name := request.query.get("model", ""):
            model_id = self._names.model_id(name)
            models = [model for model in models if (model["id"] == model_id if model_id else model["is_default"])]
            if not models:
                raise not_found(
                    "model", f"there is no model {name!r}: GET /v1/models lists them", reason="UNKNOWN_MODEL"
                )
        voices: dict[str, dict[str, object]] = {}
        for model in models:
            for voice in model["voices"]:
                entry = {"id": voice["name"], "language": voice["language"], "model": model["id"]}
                voices.setdefault(voice["name"], {"name": voice["name"], **entry})
        return web.json_response({"voices": list(voices.values())})

    def _entries(self, models: list[dict[str, Any]]) -> list[dict[str, object]]:
        """The data of OpenAI's list."""
        known = {str(model["id"]) for model in models}
        default = next((model["id"] for model in models if model["is_default"]), "")
        entries = [self._entry(model, task="speech") for model in models]
        for name, target in self._names.aliases().items() if models else ():
            if name not in known:
                entries.append(self._entry({"id": name, "alias_of": target or default}, task="speech"))
        return entries + [self._entry({"id": name}, task="transcription") for name in self._asr_models]

    def _entry(self, fields: dict[str, Any], *, task: str) -> dict[str, object]:
        return {"object": "model", "created": self._created, "owned_by": OWNER, "task": task, **fields}
