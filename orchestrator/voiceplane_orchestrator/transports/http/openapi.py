"""The OpenAPI document of the HTTP API."""

from __future__ import annotations

import functools
import importlib.metadata
from importlib.resources import files
from typing import Any

import yaml
from aiohttp import web


@functools.cache
def document() -> dict[str, Any]:
    """The document, OpenAPI 3.1, with the version of this installation."""
    text = files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(text)
    try:
        version = importlib.metadata.version("voiceplane-orchestrator")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    read["info"]["version"] = version
    return read


async def openapi(_request: web.Request) -> web.Response:
    """GET /openapi.json."""
    return web.json_response(document())
