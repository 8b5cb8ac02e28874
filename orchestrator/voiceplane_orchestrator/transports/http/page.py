"""The web page and its assets."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web
from voiceplane_common.errors import not_found

CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
ASSET_PATTERN = "/assets/{name:[A-Za-z0-9_.-]+}"
"""The route of the assets. It matches no name with a slash, so no name leads out of the folder."""


async def page(request: web.Request) -> web.Response:
    """GET / and GET /assets/NAME."""
    name = request.match_info.get("name", "index.html")
    suffix = name[name.rfind(".") :]
    folder = files("voiceplane_orchestrator").joinpath("web")
    path = folder.joinpath(name) if name == "index.html" else folder.joinpath("assets", name)
    if suffix not in CONTENT_TYPES or not path.is_file():
        raise not_found("path", f"there is no file {request.path} here")
    return web.Response(body=path.read_bytes(), content_type=CONTENT_TYPES[suffix], headers=PAGE_HEADERS)
