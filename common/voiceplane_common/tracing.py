"""Traces: of a turn, from the microphone to the ear, across processes; of what the operator does.

Off unless the standard variables of OpenTelemetry ask for them: nothing of OpenTelemetry is imported then, and every
span is SILENT. No attribute holds a word that was spoken. Times are seconds of time.monotonic().
"""

from __future__ import annotations

import contextlib
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping

    from voiceplane_common.otel import Tracer

Kind = Literal["internal", "client", "server"]
Attribute = str | int | float | bool
Headers = tuple[tuple[str, str], ...]


class Span:
    """A part of a trace; this one is silent.

    Attributes:
        trace_id: 32 hexadecimal digits; empty if silent.
        span_id: 16 hexadecimal digits; empty if silent.
    """

    trace_id = ""
    span_id = ""

    def child(
        self, name: str, *, kind: Kind = "internal", began_s: float | None = None, **attributes: Attribute
    ) -> Span:
        """Begin a part of this one; end() it.

        Args:
            name: What happens in it.
            kind: Whether it calls another process, or is called.
            began_s: When; None for now.
            **attributes: Their names get the prefix "voiceplane.".
        """
        del name, kind, began_s, attributes
        return self

    def interval(self, name: str, *, began_s: float, ended_s: float | None = None, **attributes: Attribute) -> None:
        """A part of this one that has ended already; None for now."""
        span = self.child(name, began_s=began_s)
        span.note(**attributes)
        span.end(at_s=ended_s)

    def note(self, **attributes: Attribute) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Mark it as failed.

        Args:
            reason: One word, as errors have it, never a text.
        """

    def end(self, *, at_s: float | None = None) -> None:
        """It is over; None for now. Again, it does nothing."""

    def headers(self) -> Headers:
        """The W3C trace context that makes what a peer does a part of this one."""
        return ()


SILENT = Span()
_tracer: Tracer | None = None
_current: ContextVar[Span] = ContextVar("span", default=SILENT)


def start(
    name: str,
    *,
    kind: Kind = "internal",
    began_s: float | None = None,
    headers: Iterable[tuple[str, str | bytes]] | None = None,
    **attributes: Attribute,
) -> Span:
    """Begin a trace, or the part of one that a peer's headers name; end() it. Silent if traces are off."""
    if _tracer is None:
        return SILENT
    return _tracer.start(name, kind=kind, began_s=began_s, headers=headers or (), attributes=attributes)


def current() -> Span:
    """The span that what runs now belongs to."""
    return _current.get()


@contextlib.contextmanager
def use(span: Span) -> Iterator[None]:
    """What runs in here, and the tasks that begin in here, belong to a span: current() is it, log lines name it."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def part(name: str, *, kind: Kind = "internal", **attributes: Attribute) -> Iterator[Span]:
    """A part of the present span, from here to the end of the block; failed if that is an error."""
    span = current().child(name, kind=kind)
    span.note(**attributes)
    with _to_its_end(span):
        yield span


@contextlib.contextmanager
def whole(name: str, *, kind: Kind = "internal", **attributes: Attribute) -> Iterator[Span]:
    """A trace of its own, to which what runs in here belongs; failed if the block ends with an error."""
    span = start(name, kind=kind)
    span.note(**attributes)
    with _to_its_end(span), use(span):
        yield span


def part_or_whole(name: str, *, kind: Kind, **attributes: Attribute) -> contextlib.AbstractContextManager[Span]:
    """A part of the present span where there is one, else a trace of its own."""
    begin = whole if _current.get() is SILENT else part
    return begin(name, kind=kind, **attributes)


def reason_of(error: Exception) -> str:
    """One word for an error: its own reason, or its type's name where it has none, or a text for people."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) and reason.isidentifier() else type(error).__name__


@contextlib.contextmanager
def _to_its_end(span: Span) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        span.fail(reason_of(error))
        raise
    finally:
        span.end()


def add_ids(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor that names the present trace."""
    span = _current.get()
    if span.trace_id:
        event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    return event


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces.

    See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter := environment.get("OTEL_TRACES_EXPORTER"):
        return exporter != "none"
    return bool(environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def configure(service: str, *, environment: Mapping[str, str] = os.environ) -> None:
    """Set up traces for this process, if they are asked for.

    Args:
        service: The service's name, unless OTEL_SERVICE_NAME gives another.
        environment: The OTEL_* variables; where spans go is read from the process's own.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: the extra is missing, or a variable asks for what there is not.
    """
    global _tracer  # noqa: PLW0603  # of the process, as its logs are
    if not wanted(environment):
        return
    try:
        from voiceplane_common import otel  # noqa: PLC0415  # only here: who has no traces needs no library for them
    except ImportError as error:
        message = f"OTEL_* asks for traces, which need the extra voiceplane-common[otel]: {error}"
        raise failed_precondition("EXTRA_MISSING", message, field="OTEL_TRACES_EXPORTER") from None
    _tracer = otel.Tracer(service, exporter=otel.make_exporter(environment))
