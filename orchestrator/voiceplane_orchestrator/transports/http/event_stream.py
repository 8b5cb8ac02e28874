"""Server-sent events in the shape of OpenAI's streams: each is one JSON object with its `type`."""

from __future__ import annotations

import json

from aiohttp import hdrs

EVENT_STREAM_HEADERS = {hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-cache"}


def event(kind: str, **fields: object) -> bytes:
    """One event, as it is sent."""
    return f"data: {json.dumps({'type': kind, **fields}, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
