"""`voiceplane top`: sessions, latencies, workers and models, once or live."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli.inventory import models_table
from voiceplane_cli.model_info import ModelInfo, WorkerInfo
from voiceplane_cli.orchestrator_client import OrchestratorClient
from voiceplane_cli.output import CliError, one_line, stdout, table
from voiceplane_cli.prometheus_metrics import PrometheusMetrics
from voiceplane_cli.workers import workers_table

PREFIX = "voiceplane_orchestrator_"
WINDOW_S = 60.0
"""The live view's percentiles are of this time."""

LATENCIES = {
    "first audio after speech": ("first_audio_seconds", {"after": "speech"}),
    "first audio of texts": ("first_audio_seconds", {"after": "text"}),
    "endpointing": ("endpointing_seconds", {}),
    "recognition": ("asr_seconds", {}),
    "reply's first token": ("reply_first_token_seconds", {}),
    "synthesis": ("synthesis_seconds", {}),
    "barge-in": ("barge_in_seconds", {}),
    "jitter": ("frame_jitter_seconds", {}),
}
SHOWN_STATES = frozenset({"fetching", "loading", "warming", "resident", "draining", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyQuantiles:
    """Percentiles; None if nothing was measured."""

    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it at one moment; also the `--json` output.

    Attributes:
        sessions: Open ones by their kind.
        sessions_limit: At once.
        turns: Answered since the start.
        barge_ins: Since the start, by their outcome.
        reroutes: Since the start, by their reason.
        errors: Likewise.
        recognitions_waiting: For a thread.
        latencies: By what is measured.
        workers: Every worker.
        models: Those that are somewhere.
    """

    sessions: Mapping[str, int]
    sessions_limit: int
    turns: int
    barge_ins: Mapping[str, int]
    reroutes: Mapping[str, int]
    errors: Mapping[str, int]
    recognitions_waiting: int
    latencies: Mapping[str, LatencyQuantiles]
    workers: Sequence[WorkerInfo]
    models: Sequence[ModelInfo]


def overview(
    now: PrometheusMetrics,
    *,
    workers: Sequence[WorkerInfo],
    models: Sequence[ModelInfo],
    before: PrometheusMetrics | None = None,
) -> Overview:
    """Put together what the server tells; percentiles are of the time since `before`, or since its start."""

    def counts(label: str, name: str) -> dict[str, int]:
        return {value: round(total) for value, total in now.by(label, PREFIX + name).items()}

    def latency(name: str, labels: Mapping[str, str]) -> LatencyQuantiles:
        p50, p95 = (now.quantile(quantile, PREFIX + name, before=before, **labels) for quantile in (0.5, 0.95))
        return LatencyQuantiles(p50_ms=_ms(p50), p95_ms=_ms(p95))

    return Overview(
        sessions=counts("kind", "sessions"),
        sessions_limit=round(now.total(f"{PREFIX}sessions_limit")),
        turns=round(now.total(f"{PREFIX}turns_total")),
        barge_ins=counts("outcome", "barge_ins_total"),
        reroutes=counts("reason", "reroutes_total"),
        errors=counts("reason", "errors_total"),
        recognitions_waiting=round(now.total(f"{PREFIX}asr_queue")),
        latencies={name: latency(metric, labels) for name, (metric, labels) in LATENCIES.items()},
        workers=workers,
        models=[model for model in models if model.state in SHOWN_STATES],
    )


class Watch:
    """Polls a server."""

    def __init__(self, api: OrchestratorClient) -> None:
        self._api = api
        self._seen: deque[tuple[float, PrometheusMetrics]] = deque()

    async def look(self) -> Overview:
        """All of it now.

        Raises:
            CliError: The server is out of reach, or wants a key.
        """
        text, workers, models = await asyncio.gather(self._api.metrics(), self._api.workers(), self._api.models())
        now_s, now = time.monotonic(), PrometheusMetrics(text)
        while self._seen and self._seen[0][0] < now_s - WINDOW_S:
            self._seen.popleft()
        before = self._seen[0][1] if self._seen and _goes_on(self._seen[0][1], now) else None
        self._seen.append((now_s, now))
        return overview(now, workers=workers, models=models, before=before)


async def live(api: OrchestratorClient, *, interval_s: float) -> None:
    """Show the overview until cancelled; an unreachable server is reported and polled again."""
    watch = Watch(api)
    shown: Overview = await watch.look()
    with Live(view(shown, recent=False), console=stdout(), screen=True, auto_refresh=False) as screen:
        while True:
            await asyncio.sleep(interval_s)
            try:
                shown = await watch.look()
                screen.update(view(shown), refresh=True)
            except (CliError, VoiceplaneError) as error:
                screen.update(Group(Text(one_line(error.message), style="red"), view(shown)), refresh=True)


def view(shown: Overview, *, recent: bool = True) -> Group:
    """The overview as tables.

    Args:
        shown: The overview.
        recent: The percentiles are of the last minute, not of all time.
    """
    return Group(
        _counts_table(shown),
        "",
        _latencies_table(shown, when="of the last minute" if recent else "since the start"),
        "",
        workers_table(shown.workers),
        "",
        models_table(list(shown.models)),
    )


def _counts_table(shown: Overview) -> Table:
    row = (
        f"{sum(shown.sessions.values())}/{shown.sessions_limit}{_split(shown.sessions)}",
        str(shown.turns),
        f"{sum(shown.barge_ins.values())}{_split(shown.barge_ins)}",
        f"{sum(shown.reroutes.values())}{_split(shown.reroutes)}",
        f"{sum(shown.errors.values())}{_split(shown.errors)}",
        str(shown.recognitions_waiting),
    )
    return table(("sessions", "turns", "barge-ins", "reroutes", "errors", "recognitions waiting"), [row])


def _latencies_table(shown: Overview, *, when: str) -> Table:
    rows = [
        (name, *(f"{value:.0f} ms" if value is not None else "-" for value in (latency.p50_ms, latency.p95_ms)))
        for name, latency in shown.latencies.items()
    ]
    return table((f"latency {when}", "p50", "p95"), rows)


def _split(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in sorted(counts.items()))})" if counts else ""


def _goes_on(before: PrometheusMetrics, now: PrometheusMetrics) -> bool:
    """Whether it is the same process: a new one counts from 0 again."""
    started = f"{PREFIX}sessions_started_total"
    return before.total(started) <= now.total(started)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
