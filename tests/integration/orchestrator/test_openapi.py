"""The OpenAPI document is valid, names every route and no other, and describes what the handlers answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from voiceplane_orchestrator.transports.http.load_request import LoadRequest
from voiceplane_orchestrator.transports.http.openapi import document
from voiceplane_orchestrator.transports.http.speech_request import SpeechRequest
from voiceplane_orchestrator.transports.http.transcription_request import TranscriptionRequest
from voiceplane_orchestrator.transports.livekit.endpoints import AgentRequest, GrantRequest, RoomEndpoints

from tests.support.json_schema import problems, refs, resolve
from tests.support.orchestrators import orchestrator

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOMS = {"/v1/livekit/token", "/v1/livekit/agent"}
FILES = {"file"}
"""Parts of a form that no model has."""
REQUESTS: dict[str, type[BaseModel]] = {
    "SpeechRequest": SpeechRequest,
    "TranscriptionRequest": TranscriptionRequest,
    "LoadRequest": LoadRequest,
    "RoomRequest": GrantRequest,
    "AgentRequest": AgentRequest,
}


def operations() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in document()["paths"].items() for method in item}


def check(value: Any, path: str, status: int, method: str = "get") -> None:
    """An answer against the schema that the document has for it."""
    responses = document()["paths"][path][method]["responses"]
    response = responses.get(str(status)) or responses["default"]
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    assert problems(value, response["content"]["application/json"]["schema"], root=document()) == []


def test_the_document_is_whole() -> None:
    assert document()["openapi"] == "3.1.0"
    assert document()["info"]["version"]
    assert all(resolve(reference, document()) for reference in refs(document()))
    for path, item in document()["paths"].items():
        for operation in item.values():
            assert operation["summary"]
            assert operation["responses"]
            parameters = {each["name"] for each in operation.get("parameters", ())}
            assert parameters == set(re.findall(r"\{(\w+)\}", path))


async def test_every_route_is_in_the_document_and_the_reverse() -> None:
    async with orchestrator() as running:
        routes = {
            (route.method, route.resource.canonical)
            for route in running._runner.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
    assert routes == {(method, path) for method, path in operations() if path not in ROOMS}


def test_the_routes_of_rooms_are_in_the_document() -> None:
    app = aiohttp.web.Application()
    endpoints = RoomEndpoints.__new__(RoomEndpoints)  # its routes need neither settings nor a server
    endpoints.add_to(app)
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    assert routes == {(method, path) for method, path in operations() if path in ROOMS}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_the_fields_that_are_read(name: str) -> None:
    documented = document()["components"]["schemas"][name]
    real = REQUESTS[name].model_json_schema()
    assert documented["properties"].keys() - FILES == real["properties"].keys()
    assert set(documented.get("required", ())) - FILES == set(real.get("required", ()))


async def test_answers_are_as_the_document_says() -> None:
    async with orchestrator() as running, aiohttp.ClientSession(running.url) as web:
        for path in (
            "/v1/models",
            "/v1/audio/models",
            "/v1/audio/voices",
            "/v1/workers",
            "/v1/transports",
            "/healthz",
            "/readyz",
            "/openapi.json",
        ):
            async with web.get(path) as response:
                assert response.status == 200
                check(await response.json(), path, 200)
        async with web.get("/v1/models/tts-1") as response:
            check(await response.json(), "/v1/models/{id}", 200)
        async with web.post("/v1/models/mock/load") as response:
            check(await response.json(), "/v1/models/{id}/{action}", response.status, "post")
        async with web.post("/v1/models/unknown/load") as response:
            assert response.status == 404
            check(await response.json(), "/v1/models/{id}/{action}", 404, "post")
        async with web.post("/v1/audio/speech", json={"input": ""}) as response:
            assert response.status == 400
            check(await response.json(), "/v1/audio/speech", 400, "post")


async def test_the_document_is_served_without_a_key() -> None:
    async with orchestrator(auth={"api_keys": ["sesame"]}) as running, aiohttp.ClientSession(running.url) as web:
        assert (await (await web.get("/openapi.json")).json())["paths"].keys() == document()["paths"].keys()
        assert (await web.get("/v1/models")).status == 401
