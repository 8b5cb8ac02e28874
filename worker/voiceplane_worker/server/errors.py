"""Turns every failure of a handler into a gRPC status with google.rpc details."""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from grpc_status import rpc_status
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

Context = grpc.aio.ServicerContext[Any, Any]
Service = TypeVar("Service")
Request = TypeVar("Request")
Response = TypeVar("Response")

_log = get_logger("server")


def answers(
    handler: Callable[[Service, Request, Context], Awaitable[Response]],
) -> Callable[[Service, Request, Context], Coroutine[Any, Any, Response]]:
    """A unary handler whose exceptions become the call's status."""

    @functools.wraps(handler)
    async def answer(service: Service, request: Request, context: Context) -> Response:
        try:
            return await handler(service, request, context)
        except Exception as error:
            await abort(context, error)

    return answer


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with an error's status.

    An unexpected exception becomes INTERNAL, with a reference to the log line that has the details.
    """
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, VoiceplaneError):
        reference = uuid.uuid4().hex[:8]
        _log.error("call_failed", reference=reference, exc_info=error)
        message = f"internal error of the worker: its log has the details under reference {reference}"
        error = VoiceplaneError(grpc.StatusCode.INTERNAL, "INTERNAL", message)
    await context.abort_with_status(rpc_status.to_status(error.to_status()))
    raise AssertionError("abort_with_status returned")
