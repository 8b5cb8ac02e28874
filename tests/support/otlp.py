"""A receiver of traces on loopback: OTLP over gRPC and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A span, and who sent it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    failed: str
    began_s: float
    ended_s: float
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def took_s(self) -> float:
        return self.ended_s - self.began_s


class Receiver(collector_grpc.TraceServiceServicer):
    """Keeps all spans.

    Attributes:
        raw: All that was sent, as text.
    """

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.raw = ""
        self.grpc_url = ""
        self.http_url = ""
        self._news = asyncio.Event()

    async def Export(  # noqa: N802 - the protocol's name
        self, request: collector.ExportTraceServiceRequest, context: object
    ) -> collector.ExportTraceServiceResponse:
        del context
        self._take(request)
        return collector.ExportTraceServiceResponse()

    async def post(self, request: web.Request) -> web.Response:
        self._take(collector.ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(body=collector.ExportTraceServiceResponse().SerializeToString())

    async def until(self, name: str, *, service: str) -> Received:
        """The first span of a name."""
        while True:
            for span in self.spans:
                if (span.name, span.service) == (name, service):
                    return span
            await self.until_more()

    async def until_more(self) -> None:
        """Until some more spans have come."""
        self._news.clear()
        await self._news.wait()

    def of(self, trace_id: str) -> dict[str, Received]:
        """The spans of a trace by service and name, each of which must be there once."""
        spans = [span for span in self.spans if span.trace_id == trace_id]
        found = {f"{span.service.removeprefix('voiceplane-')}: {span.name}": span for span in spans}
        assert len(found) == len(spans), sorted((span.service, span.name) for span in spans)
        return found

    def _take(self, request: collector.ExportTraceServiceRequest) -> None:
        self.raw += str(request)
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Received(
                            service=named["service.name"],
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            kind=span.kind,
                            failed=span.status.message,
                            began_s=span.start_time_unix_nano / 1e9,
                            ended_s=span.end_time_unix_nano / 1e9,
                            attributes={
                                each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
                                for each in span.attributes
                            },
                        )
                    )
        self._news.set()


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """One that listens."""
    receives = Receiver()
    server = grpc.aio.server()
    collector_grpc.add_TraceServiceServicer_to_server(receives, server)  # type: ignore[no-untyped-call]  # generated
    receives.grpc_url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    app = web.Application()
    app.router.add_post("/v1/traces", receives.post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await server.start()
    receives.http_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receives
    finally:
        await server.stop(grace=None)
        await runner.cleanup()
