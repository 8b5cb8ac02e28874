"""Traces: of a turn, from the microphone to the first audio, across processes; of what the operator does.

This module knows spans and nothing of OpenTelemetry. Without a tracer, which `tracing_setup` installs, every span is
NOOP_SPAN. No attribute holds transcribed or spoken text. Times are seconds of time.monotonic().
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping

Kind = Literal["internal", "client", "server"]
Attribute = str | int | float | bool
Headers = tuple[tuple[str, str], ...]


class Span:
    """A span of a trace; this one records nothing.

    Attributes:
        trace_id: 32 hexadecimal digits; empty for a span that records nothing.
        span_id: 16 hexadecimal digits; empty for a span that records nothing.
    """

    trace_id = ""
    span_id = ""

    def child(
        self, name: str, *, kind: Kind = "internal", began_s: float | None = None, **attributes: Attribute
    ) -> Span:
        """Start a child span; the caller must end() it.

        Args:
            name: The operation.
            kind: "client" for a call to another process, "server" for a call from one.
            began_s: Its start; None for now.
            **attributes: Their names get the prefix "voiceplane.".
        """
        del name, kind, began_s, attributes
        return self

    def interval(self, name: str, *, began_s: float, ended_s: float | None = None, **attributes: Attribute) -> None:
        """Add a child span that has ended already; ended_s None for now."""
        span = self.child(name, began_s=began_s)
        span.note(**attributes)
        span.end(at_s=ended_s)

    def note(self, **attributes: Attribute) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Mark the span as failed.

        Args:
            reason: One word, the reason of an error; never a message.
        """

    def end(self, *, at_s: float | None = None) -> None:
        """End the span; None for now. A second call does nothing."""

    def headers(self) -> Headers:
        """W3C trace context headers, so that a peer's spans become children of this one."""
        return ()


class Tracer(Protocol):
    """Starts spans that are exported."""

    def start(
        self,
        name: str,
        *,
        kind: Kind,
        began_s: float | None,
        headers: Iterable[tuple[str, str | bytes]],
        attributes: Mapping[str, Attribute],
    ) -> Span:
        """See start_span."""
        ...


NOOP_SPAN = Span()
_tracer: Tracer | None = None
_current: ContextVar[Span] = ContextVar("span", default=NOOP_SPAN)


def install(tracer: Tracer | None) -> None:
    """Let a tracer start this process's spans; None turns traces off."""
    global _tracer  # noqa: PLW0603  # one for each process, as for logs
    _tracer = tracer


def start_span(
    name: str,
    *,
    kind: Kind = "internal",
    began_s: float | None = None,
    headers: Iterable[tuple[str, str | bytes]] | None = None,
    **attributes: Attribute,
) -> Span:
    """Start a trace, or a child of the span that a peer's headers name; the caller must end() it.

    NOOP_SPAN if traces are off.
    """
    if _tracer is None:
        return NOOP_SPAN
    return _tracer.start(name, kind=kind, began_s=began_s, headers=headers or (), attributes=attributes)


def current_span() -> Span:
    """The span of the running task."""
    return _current.get()


@contextlib.contextmanager
def use_span(span: Span) -> Iterator[None]:
    """Make a span the current one for this block and the tasks that start in it; log lines carry its ids."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def child_span(name: str, *, kind: Kind = "internal", **attributes: Attribute) -> Iterator[Span]:
    """A child of the current span for the length of the block; marked as failed if the block raises."""
    span = current_span().child(name, kind=kind)
    span.note(**attributes)
    with _ending(span):
        yield span


@contextlib.contextmanager
def new_trace(name: str, *, kind: Kind = "internal", **attributes: Attribute) -> Iterator[Span]:
    """A new trace for the length of the block, current in it; marked as failed if the block raises."""
    span = start_span(name, kind=kind)
    span.note(**attributes)
    with _ending(span), use_span(span):
        yield span


def child_span_or_new_trace(
    name: str, *, kind: Kind, **attributes: Attribute
) -> contextlib.AbstractContextManager[Span]:
    """A child of the current span if there is one, else a new trace."""
    begin = new_trace if _current.get() is NOOP_SPAN else child_span
    return begin(name, kind=kind, **attributes)


def reason_of(error: Exception) -> str:
    """One word for an error: its reason, or the name of its type if it has no reason of one word."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) and reason.isidentifier() else type(error).__name__


@contextlib.contextmanager
def _ending(span: Span) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        span.fail(reason_of(error))
        raise
    finally:
        span.end()


def add_ids(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor that adds the ids of the current span."""
    span = _current.get()
    if span.trace_id:
        event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    return event
