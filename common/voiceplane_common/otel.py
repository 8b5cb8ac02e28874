"""Spans that OpenTelemetry exports. Imported only if traces are on, see `tracing_setup`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from voiceplane_common import tracing
from voiceplane_common.errors import failed_precondition
from voiceplane_common.logs import take_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import Tracer as Recorder

KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
PREFIX = "voiceplane."

_context = TraceContextTextMapPropagator()


class OtelTracer:
    """Starts the spans of one process; a background thread exports them, and flushes the rest at exit."""

    def __init__(self, service: str, *, exporter: SpanExporter) -> None:
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._recorder = provider.get_tracer("voiceplane")

    def start(
        self,
        name: str,
        *,
        kind: tracing.Kind,
        began_s: float | None,
        headers: Iterable[tuple[str, str | bytes]],
        attributes: Mapping[str, tracing.Attribute],
    ) -> tracing.Span:
        """See tracing.start_span."""
        carrier = {key: value for key, value in headers if isinstance(value, str)}
        return _start(
            self._recorder, name, parent=_context.extract(carrier), kind=kind, began_s=began_s, attributes=attributes
        )


class _Span(tracing.Span):
    """A span that is exported."""

    def __init__(self, span: Recorded, recorder: Recorder) -> None:
        self._span = span
        self._recorder = recorder
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.span_id = format_span_id(context.span_id)
        self._ended = False

    def child(
        self,
        name: str,
        *,
        kind: tracing.Kind = "internal",
        began_s: float | None = None,
        **attributes: tracing.Attribute,
    ) -> tracing.Span:
        parent = set_span_in_context(self._span)
        return _start(self._recorder, name, parent=parent, kind=kind, began_s=began_s, attributes=attributes)

    def note(self, **attributes: tracing.Attribute) -> None:
        self._span.set_attributes(_named(attributes))

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self, *, at_s: float | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._span.end(_epoch_ns(at_s))

    def headers(self) -> tracing.Headers:
        carrier: dict[str, str] = {}
        _context.inject(carrier, set_span_in_context(self._span))
        return tuple(carrier.items())


def make_exporter(environment: Mapping[str, str]) -> SpanExporter:
    """The exporter for OTEL_EXPORTER_OTLP_PROTOCOL; it reads the other variables itself.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: the exporter or protocol is not supported.
    """
    kind = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if kind != "otlp":
        message = f"OTEL_TRACES_EXPORTER is {kind!r}: set it to otlp or none"
        raise failed_precondition("NO_SUCH_EXPORTER", message, field="OTEL_TRACES_EXPORTER")
    take_over("opentelemetry")
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415  # one of the two
            OTLPSpanExporter as GrpcExporter,
        )

        return GrpcExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # the other
            OTLPSpanExporter as HttpExporter,
        )

        return HttpExporter()
    message = f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: set it to grpc or http/protobuf"
    raise failed_precondition("NO_SUCH_PROTOCOL", message, field="OTEL_EXPORTER_OTLP_PROTOCOL")


def _start(
    recorder: Recorder,
    name: str,
    *,
    parent: Context,
    kind: tracing.Kind,
    began_s: float | None,
    attributes: Mapping[str, tracing.Attribute],
) -> _Span:
    span = recorder.start_span(
        name, context=parent, kind=KINDS[kind], attributes=_named(attributes), start_time=_epoch_ns(began_s)
    )
    return _Span(span, recorder)


def _named(attributes: Mapping[str, tracing.Attribute]) -> dict[str, tracing.Attribute]:
    return {PREFIX + name: value for name, value in attributes.items()}


def _epoch_ns(at_s: float | None) -> int | None:
    """A time of time.monotonic() as nanoseconds since the Unix epoch."""
    return None if at_s is None else time.time_ns() - round((time.monotonic() - at_s) * 1e9)
