"""What a log is summed up to."""

from __future__ import annotations

import json

from voiceplane_cli.log_summary import LatencyPercentiles, summarize


def line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, "level": "info", "timestamp": "2026-01-02T12:00:00Z"} | fields)


LINES = [
    line("session_started", kind="talk", session_id="a"),
    line("session_started", kind="speak", session_id="b"),
    line("session_started", session_id="of a worker", model_id="m"),
    line("recognition", session_id="a", endpointing_ms=400.0, asr_ms=100.0),
    line("turn", session_id="a", turn=1),
    *(
        line("utterance", session_id="a", after="speech", result="complete", first_audio_ms=float(number))
        for number in range(1, 101)
    ),
    line("utterance", session_id="b", after="text", result="failed", first_audio_ms=None),
    line("error_told", session_id="b", reason="NO_WORKER"),
    line("rerouting", session_id="a", reason="STREAM_ENDED", level="warning"),
    line("session_refused", reason="TOO_MANY_SESSIONS"),
    line("load_failed", model_id="m", level="warning", timestamp="2026-01-02T12:30:00Z"),
    line("session_ended", kind="talk", session_id="a", timestamp="2026-01-02T11:00:00Z"),
]


def test_sessions_turns_latencies_and_troubles_are_counted() -> None:
    found = summarize(LINES)
    assert (found.since, found.until) == ("2026-01-02T11:00:00Z", "2026-01-02T12:30:00Z")
    assert found.sessions == {"talk": 1, "speak": 1}
    assert found.open_sessions == 1
    assert found.turns == 1
    assert found.utterances == {"complete": 100, "failed": 1}
    assert found.latencies["first_audio after speech"] == LatencyPercentiles(
        count=100, p50_ms=50, p95_ms=95, p99_ms=99, max_ms=100
    )
    assert found.latencies["endpointing"].p50_ms == 400
    assert "first_audio after text" not in found.latencies
    assert found.counts == {
        "errors": {"NO_WORKER": 1},
        "failed_loads": {"m": 1},
        "refused": {"TOO_MANY_SESSIONS": 1},
        "reroutes": {"STREAM_ENDED": 1},
    }
    assert found.warnings == {"rerouting": 1, "load_failed": 1}


def test_only_one_session_if_that_is_asked_for() -> None:
    found = summarize(LINES, session_id="b")
    assert (found.sessions, found.turns, found.utterances) == ({"speak": 1}, 0, {"failed": 1})


def test_text_before_an_object_is_skipped_and_other_lines_are_counted() -> None:
    found = summarize(
        [f"orchestrator-1  | {LINES[0]}\n", "listening on http://127.0.0.1:8080", "{broken", '{"a": 1}', "\n"]
    )
    assert (found.lines, found.other_lines, found.sessions) == (1, 3, {"talk": 1})
