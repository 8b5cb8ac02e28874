"""docs/reference/metrics.md names every metric, and no other; names and labels follow the rules that it states."""

from __future__ import annotations

import re

import pytest

from scripts.generate_metrics_page import PAGE, labels_of, page, registries

UNITS = ("_seconds", "_bytes", "_ratio")
FEW_LABELS = {"action", "after", "call", "device", "kind", "model", "outcome", "reason", "result", "state"}


def test_the_page_has_the_present_metrics_and_no_others() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python scripts/generate_metrics_page.py"
    named = set(re.findall(r"^\| `(voiceplane_\w+)`", text, re.MULTILINE))
    there = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for registry in registries().values()
        for metric in registry.collect()
    }
    assert named == there
    assert len(named) > 50


@pytest.mark.parametrize("program", ["worker", "orchestrator", "operator"])
def test_names_have_a_program_and_a_unit_and_labels_are_few(program: str) -> None:
    registry = registries()[program]
    for metric in registry.collect():
        assert metric.name.startswith(f"voiceplane_{program}_")
        assert metric.documentation.endswith(".")
        if metric.type == "histogram":
            assert metric.name.endswith(UNITS)
        assert set(labels_of(registry, metric.name)) <= FEW_LABELS
