"""What PromQL expressions ask for: metrics, and the labels that they select and group by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripts.generate_metrics_page import labels_of, registries

if TYPE_CHECKING:
    from collections.abc import Iterator

METRIC = re.compile(r"(voiceplane_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\bby \(([^)]*)\)\s*\(")
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds."""


def series() -> dict[str, set[str]]:
    """The labels of every series that a program shows, by its name."""
    found: dict[str, set[str]] = {}
    for registry in registries().values():
        for metric in registry.collect():
            labels = SCRAPED | set(labels_of(registry, metric.name))
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
            found |= {metric.name + end: labels | ({"le"} if end == "_bucket" else set()) for end in ends}
    return found


def asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that it must have."""
    for match in METRIC.finditer(expression):
        wanted = set(MATCHER.findall(match[2] or ""))
        for grouped in GROUPED.finditer(expression):
            if grouped.end() <= match.start() < _closing(expression, grouped.end()):
                wanted |= {label.strip() for label in grouped[1].split(",")}
        yield match[1], wanted


def problems(expression: str) -> list[str]:
    """What an expression asks for and no program tells."""
    there = series()
    found = []
    for name, labels in asked(expression):
        if name not in there:
            found.append(f"no metric {name}")
        elif missing := labels - there[name]:
            found.append(f"{name} has no label {', '.join(sorted(missing))}")
    return found


def _closing(text: str, start: int) -> int:
    """Where the parenthesis closes that was opened just before."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    raise ValueError(f"unbalanced: {text}")
