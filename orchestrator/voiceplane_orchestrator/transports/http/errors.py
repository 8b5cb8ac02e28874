"""Errors as HTTP responses: the status, the JSON body and the headers."""

from __future__ import annotations

import grpc
from aiohttp import hdrs, web
from voiceplane_common.errors import VoiceplaneError

MAX_BODY_BYTES = 1 << 20
"""The largest request body that is accepted; a larger one gets status 413."""

STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
"""The `type` of OpenAI's error object for each status; others are "server_error"."""
TOO_LARGE = frozenset({"BODY_TOO_LARGE", "AUDIO_TOO_LONG"})
"""Reasons of INVALID_ARGUMENT with status 413."""
TOO_MANY_REQUESTS = frozenset({"RATE_LIMITED", "TOO_MANY_CONNECTIONS"})
"""Reasons of RESOURCE_EXHAUSTED that a caller causes itself: status 429. The others are the server's: 503."""


def error_body(error: VoiceplaneError) -> dict[str, dict[str, object]]:
    """An error as JSON: OpenAI's error object (message, type, param, code), with our fields beside them."""
    return {
        "error": {
            "message": error.message,
            "type": OPENAI_TYPES.get(_status(error), "server_error"),
            "param": error.field or None,
            "code": error.code.name,
            "reason": error.reason,
            "field": error.field,
            "retry_after_ms": error.retry_after_ms,
        }
    }


def _status(error: VoiceplaneError) -> int:
    if error.reason in TOO_MANY_REQUESTS:
        return 429
    return 413 if error.reason in TOO_LARGE else STATUSES.get(error.code, 500)


def error_response(error: VoiceplaneError) -> web.Response:
    """The response for an error."""
    headers = {}
    if error.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-error.retry_after_ms // 1000))
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return web.json_response(error_body(error), status=_status(error), headers=headers)


def aiohttp_error_response(error: web.HTTPException) -> web.Response:
    """The response for an error of aiohttp itself, such as an unknown path; its body has the form of our errors."""
    errors = {
        400: (
            grpc.StatusCode.INVALID_ARGUMENT,
            "BAD_REQUEST",
            "this is a WebSocket endpoint: connect to it with ws://",
        ),
        404: (
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND",
            "there is no such endpoint: docs/reference/http.md lists the endpoints",
        ),
        405: (
            grpc.StatusCode.UNIMPLEMENTED,
            "METHOD_NOT_ALLOWED",
            "this endpoint does not support the method: the Allow header lists those that it supports",
        ),
        413: (
            grpc.StatusCode.INVALID_ARGUMENT,
            "BODY_TOO_LARGE",
            f"the body has more than {MAX_BODY_BYTES} bytes: send a smaller one",
        ),
    }
    code, reason, message = errors.get(error.status, (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", error.reason))
    response = error_response(VoiceplaneError(code, reason, message))
    response.set_status(error.status)
    if hdrs.ALLOW in error.headers:
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response
