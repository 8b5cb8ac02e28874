"""When traces are on, and what they do when they are not."""

from __future__ import annotations

import pytest
from voiceplane_common import tracing, tracing_setup
from voiceplane_common.errors import invalid
from voiceplane_common.kube.api import ApiError

from tests.support.spans import recorded

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"} | ENDPOINT, False),
        ({"OTEL_SDK_DISABLED": "true"} | ENDPOINT, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4317"}, False),
    ],
)
def test_the_standard_variables_ask_for_traces(environment: dict[str, str], on: bool) -> None:
    assert tracing_setup.traces_requested(environment) is on


def test_a_silent_span_does_nothing_and_names_no_trace() -> None:
    span = tracing.start_span("turn", session_id="s")
    assert span is tracing.NOOP_SPAN
    assert span.child("part") is span
    assert span.headers() == ()
    span.interval("part", began_s=0.0)
    span.end()
    with tracing.use_span(span):
        assert tracing.add_ids(None, "info", {"event": "e"}) == {"event": "e"}


def test_what_runs_in_a_block_belongs_to_its_span() -> None:
    span = tracing.Span()
    span.trace_id, span.span_id = "1" * 32, "2" * 16
    with tracing.use_span(span):
        assert tracing.current_span() is span
        assert tracing.add_ids(None, "info", {}) == {"trace_id": "1" * 32, "span_id": "2" * 16}
    assert tracing.current_span() is tracing.NOOP_SPAN


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (invalid("field", "it is wrong"), "INVALID_ARGUMENT"),
        (ApiError(409, "Conflict", "the object has been modified"), "Conflict"),
        (ApiError(502, "Bad Gateway", ""), "ApiError"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "said out loud"), "UnicodeDecodeError"),
        (RuntimeError("said out loud"), "RuntimeError"),
    ],
)
def test_a_span_fails_by_one_word_and_never_by_a_text(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    spans = recorded(monkeypatch)
    with pytest.raises(type(error)), tracing.new_trace("outer"), tracing.child_span("inner"):
        raise error
    assert [(span.name, span.failed, span.over) for span in spans.spans] == [
        ("outer", reason, True),
        ("inner", reason, True),
    ]


def test_a_part_belongs_to_the_present_span_and_is_a_trace_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = recorded(monkeypatch)
    with tracing.child_span_or_new_trace("alone", kind="client", worker="w") as alone:
        assert tracing.current_span() is alone
    with tracing.new_trace("outer"), tracing.child_span_or_new_trace("inner", kind="client"):
        pass
    assert [(span.name, span.parent, span.kind) for span in spans.spans] == [
        ("alone", "", "client"),
        ("outer", "", "internal"),
        ("inner", "outer", "client"),
    ]
    assert spans.spans[0].attributes == {"worker": "w"}
