"""Authorizes gRPC clients by the names in their certificates; the authority signs those of workers, too."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

import grpc
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

from voiceplane_worker.server.errors import Context, abort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

NAMES = ("x509_common_name", "x509_subject_alternative_name")

_log = get_logger("callers")


class MtlsAuthInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls whose client certificate has none of the allowed names."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(allowed)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap the handler with the check: the interceptor itself does not know the caller."""
        handler = await continuation(handler_call_details)
        return handler and self._guarded(handler)

    def _guarded(self, handler: Any) -> Any:  # the library types handlers for its synchronous API only
        kinds = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }

        async def one(request: Any, context: Context) -> Any:
            await self._check(context)
            return await (handler.unary_unary or handler.stream_unary)(request, context)

        async def many(request: Any, context: Context) -> None:
            await self._check(context)
            answering = (handler.unary_stream or handler.stream_stream)(request, context)
            if inspect.isawaitable(answering):  # a handler may write its responses, or yield them
                await answering
                return
            async with contextlib.aclosing(answering) as responses:
                async for response in responses:
                    await context.write(response)

        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(one, **kinds)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(one, **kinds)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(many, **kinds)
        return grpc.stream_stream_rpc_method_handler(many, **kinds)

    async def _check(self, context: Context) -> None:
        found = context.auth_context()
        names = {name.decode(errors="replace") for key in NAMES for name in found.get(key, ())}
        if names & self._allowed:
            return
        _log.warning("caller_refused", names=sorted(names))
        message = (
            f"the client certificate has the names {', '.join(sorted(names)) or '(none)'}, and none of them is in "
            f"tls.allowed_clients ({', '.join(sorted(self._allowed))}): use another certificate, or add its name there"
        )
        await abort(context, VoiceplaneError(grpc.StatusCode.PERMISSION_DENIED, "CALLER_REFUSED", message))
