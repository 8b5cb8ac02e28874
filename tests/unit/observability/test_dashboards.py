"""The dashboards are current, and ask for metrics and labels that there are, and for all of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from scripts.generate_dashboards import DASHBOARDS, FOLDER, files
from tests.support.promql import asked, problems, series

PROGRAMS = {"conversations": "orchestrator", "workers": "worker", "operator": "operator"}


def targets(name: str) -> list[tuple[str, str, str]]:
    """Title, expression and legend of each query."""
    dashboard: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [
        (panel["title"], each["expr"], each["legendFormat"])
        for panel in dashboard["panels"]
        for each in panel["targets"]
    ]


def test_they_are_current() -> None:
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run python scripts/generate_dashboards.py"
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(DASHBOARDS)


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_queries_ask_for_what_there_is(name: str) -> None:
    for title, expression, legend in targets(name):
        assert problems(expression) == [], title
        grouped = {label for _, labels in asked(expression) for label in labels}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= grouped, title


@pytest.mark.parametrize(("name", "program"), PROGRAMS.items())
def test_every_metric_of_a_program_is_shown(name: str, program: str) -> None:
    def base(metric: str) -> str:
        return re.sub(r"_(bucket|sum|count)$", "", metric)

    shown = {base(metric) for _, expression, _ in targets(name) for metric, _ in asked(expression)}
    assert shown == {base(metric) for metric in series() if metric.startswith(f"voiceplane_{program}_")}


def test_a_wrong_query_is_noticed() -> None:
    assert problems("sum by (colour) (voiceplane_worker_sessions)") == [
        "voiceplane_worker_sessions has no label colour"
    ]
    assert problems('voiceplane_worker_ready{model="m"}') == ["voiceplane_worker_ready has no label model"]
    assert problems("rate(voiceplane_worker_sesions_total[5m])") == ["no metric voiceplane_worker_sesions_total"]
