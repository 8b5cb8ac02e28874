"""Write the tables of docs/reference/metrics.md from the registries of the three programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import voiceplane_operator.metrics
import voiceplane_orchestrator.metrics
import voiceplane_worker.metrics
from voiceplane_orchestrator.discovery.redis import LeaseMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"


def registries() -> dict[str, CollectorRegistry]:
    """The registry of each program, with what it has only where it is configured."""
    orchestrator = voiceplane_orchestrator.metrics.Metrics().registry
    LeaseMetrics(orchestrator)
    return {
        "worker": voiceplane_worker.metrics.Metrics().registry,
        "orchestrator": orchestrator,
        "operator": voiceplane_operator.metrics.Metrics().registry,
    }


def labels_of(registry: CollectorRegistry, name: str) -> tuple[str, ...]:
    """The labels that a metric's series have, besides `le`; a metric that is kept elsewhere has none."""
    collector = registry._names_to_collectors.get(name)  # noqa: SLF001  # a metric without series tells no labels
    return tuple(getattr(collector, "_labelnames", ()))


def rows(registry: CollectorRegistry) -> Iterator[str]:
    """A row for each metric."""
    for metric in registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in labels_of(registry, metric.name))
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


def page(text: str) -> str:
    """A page with the present tables."""
    for program, registry in registries().items():
        table = "\n".join(["| Name | Kind | Labels | Meaning |", "|---|---|---|---|", *rows(registry)])
        begin, end = f"<!-- {program} -->\n", f"<!-- end of {program} -->\n"
        text = re.sub(f"{begin}.*{end}", lambda _, b=begin, t=table, e=end: f"{b}\n{t}\n\n{e}", text, flags=re.DOTALL)  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
    return text


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
