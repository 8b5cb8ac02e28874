"""Voiceplane's errors as those of LiveKit Agents, which retries only retryable ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto maps gRPC's codes to HTTP's.
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
RETRYABLE = frozenset({429})


def api_error(error: VoiceplaneError) -> APIError:
    """The same error for LiveKit Agents; one that a retry may fix is retryable."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return APIConnectionError(error.message)
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return APITimeoutError(error.message)
    status = STATUSES.get(error.code, 500)
    body = {"reason": error.reason, "field": error.field}
    retryable = status in RETRYABLE or status >= 500
    return APIStatusError(error.message, status_code=status, body=body, retryable=retryable)
