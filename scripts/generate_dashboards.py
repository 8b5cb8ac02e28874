"""Write the Grafana dashboards of the chart."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "charts" / "voiceplane" / "dashboards"
WIDTH, HEIGHT, ACROSS = 8, 8, 3
RANGE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: PromQL with the legend of each.

    Attributes:
        unit: As Grafana names it.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def percentiles(title: str, metric: str, *, by: str = "", where: str = "", unit: str = "s") -> Panel:
    """The median and the 95th percentile of a histogram."""
    grouping = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    queries = tuple(
        (
            f"histogram_quantile({quantile}, sum by ({grouping}) (rate({metric}_bucket{where}[{RANGE}])))",
            f"{name}{legend}",
        )
        for quantile, name in ((0.5, "p50"), (0.95, "p95"))
    )
    return Panel(title, unit, queries)


def rates(title: str, *metrics: tuple[str, str, str]) -> Panel:
    """How often something happens a second; each with its legend and the labels that it is split by."""
    queries = tuple(
        (
            f"sum by ({by}) (rate({metric}[{RANGE}]))" if by else f"sum(rate({metric}[{RANGE}]))",
            " ".join([legend, *(f"{{{{{label}}}}}" for label in by.split(", ") if label)]).strip(),
        )
        for metric, legend, by in metrics
    )
    return Panel(title, "ops", queries)


def values(title: str, *metrics: tuple[str, str, str], unit: str = "short") -> Panel:
    """Sums of gauges, likewise."""
    queries = tuple(
        (
            f"sum by ({by}) ({metric})" if by else f"sum({metric})",
            " ".join([legend, *(f"{{{{{label}}}}}" for label in by.split(", ") if label)]).strip(),
        )
        for metric, legend, by in metrics
    )
    return Panel(title, unit, queries)


def late_share(title: str, metric: str) -> Panel:
    """The share of frames that came later than what a listener has in hand."""
    total = f"sum(rate({metric}_count[{RANGE}]))"
    return Panel(
        title, "percentunit", ((f'1 - sum(rate({metric}_bucket{{le="0.06"}}[{RANGE}])) / {total}', "> 60 ms"),)
    )


C, W, P = "voiceplane_orchestrator_", "voiceplane_worker_", "voiceplane_operator_"

DASHBOARDS = {
    "conversations": (
        "Voiceplane: conversations",
        (
            values("Sessions", (f"{C}sessions", "", "kind"), (f"{C}sessions_limit", "limit", "")),
            percentiles("First audio after speech", f"{C}first_audio_seconds", where='{after="speech"}'),
            percentiles("First audio of texts", f"{C}first_audio_seconds", where='{after="text"}'),
            percentiles("Endpointing", f"{C}endpointing_seconds"),
            percentiles("Recognition", f"{C}asr_seconds"),
            percentiles("Reply's first token", f"{C}reply_first_token_seconds"),
            percentiles("Whole reply", f"{C}reply_seconds"),
            percentiles("Synthesis, as workers serve it", f"{C}synthesis_seconds", by="model"),
            percentiles("Barge-in: first sound to silence", f"{C}barge_in_seconds"),
            rates(
                "Turns and barge-ins",
                (f"{C}turns_total", "turns", ""),
                (f"{C}turns_discarded_total", "no turn:", "reason"),
                (f"{C}barge_ins_total", "barge-in", "outcome"),
            ),
            percentiles("Jitter of frames sent", f"{C}frame_jitter_seconds"),
            late_share("Late frames", f"{C}frame_jitter_seconds"),
            rates(
                "Utterances", (f"{C}utterances_total", "", "result"), (f"{C}sessions_started_total", "session", "kind")
            ),
            rates(
                "Errors and refusals",
                (f"{C}errors_total", "", "reason"),
                (f"{C}sessions_refused_total", "refused:", "reason"),
            ),
            rates(
                "Reroutes, fallbacks, waits for a worker",
                (f"{C}reroutes_total", "reroute", "reason"),
                (f"{C}fallbacks_total", "fallback", ""),
                (f"{C}no_worker_total", "no worker", ""),
            ),
            values("Workers", (f"{C}workers", "", "state")),
            values("Recognitions that wait", (f"{C}asr_queue", "waiting", "")),
            values(
                "Workers in Redis",
                (f"{C}leases", "leases", ""),
                (f"{C}registry_connected", "connected", "instance"),
                (f"{C}unreadable_records", "unreadable", ""),
            ),
            rates("Leases that began or ended", (f"{C}lease_changes_total", "", "kind")),
        ),
    ),
    "workers": (
        "Voiceplane: workers",
        (
            values("Sessions", (f"{W}sessions", "open", "instance"), (f"{W}sessions_limit", "limit", "instance")),
            values("Ready", (f"{W}ready", "", "instance")),
            rates(
                "Sessions started and refused",
                (f"{W}sessions_started_total", "started", ""),
                (f"{W}sessions_refused_total", "refused:", "reason"),
            ),
            percentiles("First audio", f"{W}first_audio_seconds", by="model"),
            percentiles("Wait for the first step", f"{W}queue_wait_seconds"),
            values(
                "Queue",
                (f"{W}queue_steps", "steps", "instance"),
                (f"{W}utterances_under_way", "utterances", "instance"),
            ),
            percentiles("Real-time factor", f"{W}rtf_ratio", by="model", unit="short"),
            Panel(
                "Compute per second of audio",
                "short",
                (
                    (
                        f"sum(rate({W}compute_seconds_total[{RANGE}])) / sum(rate({W}audio_seconds_total[{RANGE}]))",
                        "all",
                    ),
                ),
            ),
            percentiles("Jitter of frames sent", f"{W}frame_jitter_seconds"),
            late_share("Late frames", f"{W}frame_jitter_seconds"),
            rates(
                "Buffer underruns, failed streams",
                (f"{W}underruns_total", "underruns", ""),
                (f"{W}synthesis_errors_total", "", "reason"),
            ),
            rates("Controls", (f"{W}controls_total", "", "action")),
            values("Registered with Redis", (f"{W}registered", "", "instance")),
            rates("Heartbeats that failed", (f"{W}registration_failures_total", "", "reason")),
            values("Resident models", (f"{W}resident_models", "", "instance")),
            values("Memory of models", (f"{W}model_memory_bytes", "", "model"), unit="bytes"),
            values(
                "Memory of GPUs",
                (f"{W}device_memory_used_bytes", "used:", "instance, device"),
                (f"{W}device_memory_bytes", "in all:", "instance, device"),
                unit="bytes",
            ),
            values("Models file is valid", (f"{W}models_file_valid", "", "instance")),
            percentiles("Loads", f"{W}model_load_seconds", by="model"),
            rates("Loads by outcome", (f"{W}model_load_seconds_count", "", "outcome")),
            percentiles("Unloads", f"{W}model_unload_seconds", by="model"),
            rates(
                "Evicted and lost models",
                (f"{W}model_evictions_total", "", "reason"),
                (f"{W}models_lost_total", "lost", ""),
            ),
        ),
    ),
    "operator": (
        "Voiceplane: operator",
        (
            values("Declared", (f"{P}declared", "", "kind"), (f"{P}unready", "not ready:", "kind")),
            values("Workers", (f"{P}workers", "watched", ""), (f"{P}workers_reachable", "reachable", "")),
            values("Objects that wait", (f"{P}queue_depth", "queue", "")),
            percentiles("Wait for a reconcile", f"{P}queue_wait_seconds", by="kind"),
            percentiles("Reconciles", f"{P}reconcile_seconds", by="kind"),
            rates(
                "Failures and drift",
                (f"{P}reconcile_errors_total", "failed:", "kind"),
                (f"{P}drift_total", "drift:", "kind"),
            ),
            rates("Calls of workers", (f"{P}model_calls_total", "", "call, outcome")),
            percentiles("Answers of workers", f"{P}model_call_seconds", by="call"),
            rates("Kubernetes API", (f"{P}api_calls_total", "calls", "")),
        ),
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard as Grafana imports it."""
    title, panels = DASHBOARDS[name]
    return {
        "title": title,
        "uid": f"voiceplane-{name}",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "tags": ["voiceplane"],
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, ACROSS)
    return {
        "id": number + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": WIDTH * column, "y": HEIGHT * row},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def files() -> dict[Path, str]:
    """What is to be written."""
    return {FOLDER / f"{name}.json": json.dumps(dashboard(name), indent=1) + "\n" for name in DASHBOARDS}


def main() -> None:
    """Write them, or with --check say whether they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if something would change.")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit(f"{', '.join(path.name for path in stale)} not current: run python scripts/generate_dashboards.py")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(files()[path], encoding="utf-8")


if __name__ == "__main__":
    main()
