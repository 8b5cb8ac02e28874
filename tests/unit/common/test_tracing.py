"""When traces are on, and what they do when they are not."""

from __future__ import annotations

import pytest
from voiceplane_common import tracing

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
    assert tracing.wanted(environment) is on


def test_a_silent_span_does_nothing_and_names_no_trace() -> None:
    span = tracing.start("turn", session_id="s")
    assert span is tracing.SILENT
    assert span.child("part") is span
    assert span.headers() == ()
    span.interval("part", began_s=0.0)
    span.end()
    with tracing.use(span):
        assert tracing.add_ids(None, "info", {"event": "e"}) == {"event": "e"}


def test_what_runs_in_a_block_belongs_to_its_span() -> None:
    span = tracing.Span()
    span.trace_id, span.span_id = "1" * 32, "2" * 16
    with tracing.use(span):
        assert tracing.current() is span
        assert tracing.add_ids(None, "info", {}) == {"trace_id": "1" * 32, "span_id": "2" * 16}
    assert tracing.current() is tracing.SILENT
