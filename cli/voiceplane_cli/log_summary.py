"""Summarizes the logs of an orchestrator and its workers: sessions, turns, latencies, errors, reroutes."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group

from voiceplane_cli.output import table

LATENCIES = ("endpointing_ms", "asr_ms", "first_audio_ms")
COUNTED = {
    "session_refused": ("refused", "reason"),
    "error_told": ("errors", "reason"),
    "rerouting": ("reroutes", "reason"),
    "load_failed": ("failed_loads", "model_id"),
    "model_lost": ("lost_models", "model_id"),
    "worker_lost": ("lost_workers", "address"),
}
"""Events that are counted, as what, and by which key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPercentiles:
    """Of a latency, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All of it; also the `--json` output.

    Attributes:
        lines: That were read as JSON.
        other_lines: That are none of ours.
        since: Of the first line; empty if there is none.
        until: Of the last.
        sessions: That began, by their kind.
        open_sessions: That began and have not ended.
        turns: That were answered.
        utterances: By their result.
        latencies: By what is measured; of first audio, by what it follows.
        counts: Of what went wrong: refused, errors, reroutes, failed_loads, lost_models, lost_workers; each by reason.
        warnings: Lines of the levels warning and error, by their event.
    """

    lines: int
    other_lines: int
    since: str
    until: str
    sessions: Mapping[str, int]
    open_sessions: int
    turns: int
    utterances: Mapping[str, int]
    latencies: Mapping[str, LatencyPercentiles]
    counts: Mapping[str, Mapping[str, int]]
    warnings: Mapping[str, int]


@dataclass(slots=True)
class _Tally:
    lines: int = 0
    other_lines: int = 0
    times: list[str] = field(default_factory=list)
    sessions: Counter[str] = field(default_factory=Counter)
    open: set[str] = field(default_factory=set)
    turns: int = 0
    utterances: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)

    def take(self, line: Mapping[str, Any]) -> None:
        """Count one line."""
        event = str(line["event"])
        self.lines += 1
        if moment := line.get("timestamp"):
            self.times = [min(self.times[0], moment), max(self.times[1], moment)] if self.times else [moment, moment]
        if line.get("level") in {"warning", "error", "critical"}:
            self.warnings[event] += 1
        if counted := COUNTED.get(event):
            what, key = counted
            self.counts.setdefault(what, Counter())[str(line.get(key, ""))] += 1
        for name in LATENCIES:
            if isinstance(value := line.get(name), (int, float)):
                label = f"{name.removesuffix('_ms')} after {line['after']}" if "after" in line else name[:-3]
                self.latencies.setdefault(label, []).append(float(value))
        self._take_session(event, line)

    def _take_session(self, event: str, line: Mapping[str, Any]) -> None:
        if event == "session_started" and "kind" in line:  # a worker's has none: it is of a session that was counted
            self.sessions[str(line["kind"])] += 1
            self.open.add(str(line.get("session_id")))
        elif event == "session_ended":
            self.open.discard(str(line.get("session_id")))
        elif event == "turn":
            self.turns += 1
        elif event == "utterance":
            self.utterances[str(line.get("result", ""))] += 1


def summarize(lines: Iterable[str], *, session_id: str = "") -> Summary:
    """Count what the lines say.

    Args:
        lines: JSON objects, each with anything before it, such as the name of a pod; others are counted and skipped.
        session_id: Of this session only, if given.
    """
    tally = _Tally()
    for text in lines:
        if not text.strip():
            continue
        line = _parse(text)
        if line is None:
            tally.other_lines += 1
        elif not session_id or line.get("session_id") == session_id:
            tally.take(line)
    since, until = tally.times or ("", "")
    return Summary(
        lines=tally.lines,
        other_lines=tally.other_lines,
        since=since,
        until=until,
        sessions=dict(tally.sessions),
        open_sessions=len(tally.open),
        turns=tally.turns,
        utterances=dict(tally.utterances),
        latencies={name: _percentiles(values) for name, values in sorted(tally.latencies.items())},
        counts={what: dict(counter.most_common()) for what, counter in sorted(tally.counts.items())},
        warnings=dict(tally.warnings.most_common()),
    )


def view(summary: Summary) -> Group:
    """The summary as tables."""
    span = f"{summary.since} … {summary.until}" if summary.since else "-"
    facts = [
        ("time", span),
        ("lines", f"{summary.lines} and {summary.other_lines} others" if summary.other_lines else str(summary.lines)),
        ("sessions", f"{_with_parts(summary.sessions)}, {summary.open_sessions} still open"),
        ("turns", str(summary.turns)),
        ("utterances", _with_parts(summary.utterances)),
    ]
    latencies = [
        (name, str(each.count), *(f"{value:.0f} ms" for value in (each.p50_ms, each.p95_ms, each.p99_ms, each.max_ms)))
        for name, each in summary.latencies.items()
    ]
    problems = [
        (what.replace("_", " "), name or "-", str(count))
        for what, counts in summary.counts.items()
        for name, count in counts.items()
    ]
    problems += [("warnings", event, str(count)) for event, count in summary.warnings.items()]
    parts = [table(("what", "found"), facts)]
    if latencies:
        parts.append(table(("latency", "count", "p50", "p95", "p99", "max"), latencies))
    if problems:
        parts.append(table(("went wrong", "reason", "times"), problems))
    return Group(*(part for each in parts for part in (each, "")))


def _parse(text: str) -> Mapping[str, Any] | None:
    """The object in a line; None if there is none that is a log line of ours."""
    begin = text.find("{")
    if begin < 0:
        return None
    try:
        value = json.loads(text[begin:])
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None


def _percentiles(values: Sequence[float]) -> LatencyPercentiles:
    ordered = sorted(values)

    def at(share: float) -> float:
        """The nearest rank: a value that was measured."""
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return LatencyPercentiles(count=len(ordered), p50_ms=at(0.5), p95_ms=at(0.95), p99_ms=at(0.99), max_ms=ordered[-1])


def _with_parts(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values())} ({parts})" if parts else "0"
